/**
 * The rows a phase works on, sorted so that every layer computes a suffix.
 *
 * Rows that are needed in the fewest layers come first, so the rows of layer l + 1 are the last ones of layer l and the residual
 * stream stays where it is. The rows that are predicted from come last of all.
 */
import type { RowClass } from "../../ir/graph/ops.js";

export interface TableRow {
  /** Which sequence of the batch. */
  readonly sequence: number;
  readonly pos: number;
  /** From 1. */
  readonly copy: number;
  /** Token id. */
  readonly id: number;
}

/** A row with how far it goes: it enters layers 0 … depth - 1; depth = layers + 1 also predicts. */
export interface DemandedRow extends TableRow {
  readonly depth: number;
}

export class RowTable {
  readonly rows: readonly DemandedRow[];
  /** For d = 0 … layers + 1: the first row of depth at least d. */
  private readonly firstOfDepth: readonly number[];

  constructor(
    rows: readonly DemandedRow[],
    readonly layers: number,
  ) {
    this.rows = [...rows].sort(
      (a, b) => a.depth - b.depth || a.sequence - b.sequence || a.pos - b.pos || a.copy - b.copy,
    );
    this.firstOfDepth = Array.from({ length: layers + 2 }, (_, depth) => {
      const first = this.rows.findIndex((row) => row.depth >= depth);
      return first < 0 ? this.rows.length : first;
    });
  }

  /** The first row of a class in a layer: input rows enter it, query rows enter the next or, after the last, predict. */
  first(rows: RowClass, layer: number): number {
    const depth = rows === "output" ? this.layers + 1 : rows === "input" ? layer + 1 : layer + 2;
    return this.firstOfDepth[depth]!;
  }
}
