/** The input rows of a skinny product, wherever they come from: a buffer, the splits of attention, or a norm that was left undone. */
import { type KernelBuilder, min, type Value, vectorOf } from "../../ir/kernel/builder.js";
import { bindPartials } from "../attention/merge.js";
import { rowFactors } from "../row-factors.js";
import type { RowRange } from "../row-table.js";
import { bindDeferred } from "./deferred-input.js";
import type { LinearOptions } from "./options.js";
import { inputVector } from "./skinny-options.js";

/** A row that an invocation reads. */
export interface ReadRow {
  /** In the table. */
  readonly row: Value;
  /** In the block. */
  readonly place: Value | number;
}

/** Where a workgroup stands. */
export interface BlockPlace {
  readonly range: RowRange;
  readonly firstRow: Value;
  /** Rows of a block. */
  readonly rows: number;
  /** The table's row at a place in the block. */
  rowAt(place: Value): Value;
  /** Of columns, among all of the dispatch. */
  readonly block: Value;
}

/** What an invocation multiplies or brings in, of some rows of the block. */
export interface InputRows {
  /** Vectors that make one of the input. */
  readonly loads: number;
  /** Loads what makes vector `i` of one of the rows, by its number among them. */
  load(row: number, i: Value): readonly Value[];
  /** The vector, of what was loaded. */
  finish(row: number, i: Value, loaded: readonly Value[]): Value;
  /** Writes down rows that were computed here, once for all workgroups. */
  keep?(): void;
}

export interface BoundInput {
  /** Prepares to read rows of a block. Must be reached by the whole workgroup. */
  of(rows: readonly ReadRow[], place: BlockPlace): InputRows;
}

export function bindInput(k: KernelBuilder, options: LinearOptions): BoundInput {
  const { merge, deferred, inputs } = options;
  const width = inputVector(options);
  const vectors = inputs / width;
  /** Rows that need no finishing. */
  const asTheyAre = (at: (row: Value, i: Value) => Value): BoundInput => ({
    of: (rows) => ({ loads: 1, load: (row, i) => [at(rows[row]!.row, i)], finish: (_row, _i, [loaded]) => loaded! }),
  });
  if (merge) {
    const partials = bindPartials(k, merge);
    return asTheyAre((row, i) => partials.at(row, i));
  }
  const input = k.read("input", vectorOf("f32", width));
  if (deferred === undefined) return asTheyAre((row, i) => input.at(row.mul(vectors).add(i)));

  const { finish, stream, reads } = bindDeferred(k, deferred, inputs);
  return {
    of: (read, { range, firstRow, rows, rowAt, block }) => {
      const factors = rowFactors(k, rows);
      factors.compute(
        {
          ...{ count: rows, width: inputs, vectors, epsilon: deferred.epsilon },
          at: (place, i) => input.at(rowAt(place).mul(vectors).add(i)),
        },
        0,
      );
      k.barrier();
      // Whoever brings in some rows only needs the factor of a row seldom: it stays where it is.
      const own = read.map(({ place }, row) => {
        const factor = factors.memory.at(place);
        return typeof place === "number" ? k.let(`factor_${row}`, factor) : factor;
      });
      const parts = [input, ...reads.filter(({ of }) => of === "row").map(({ memory }) => memory)];
      return {
        loads: parts.length,
        load: (row, i) => {
          const place = k.let("input_at", read[row]!.row.mul(vectors).add(i));
          return parts.map((memory) => memory.at(place));
        },
        finish: (row, i, loaded) =>
          finish(loaded[0]!, own[row]!, (memory, of) => (of === "row" ? loaded[parts.indexOf(memory)]! : memory.at(i))),
        // Not in the loop over the inputs: a store that only some workgroups make would keep the loads behind it from being under way,
        // in all of them. Each workgroup computes a few vectors again.
        keep: () => {
          const present = k.let("rows_present", min(range.count.sub(firstRow), rows));
          const step = k.numWorkgroups.x.mul(k.numWorkgroups.z).mul(k.workgroupSize);
          const from = block.mul(k.workgroupSize).add(k.localId);
          k.for("kept", { from, to: present.mul(vectors), step }, (kept) => {
            const row = k.let("kept_row", kept.div(vectors));
            const i = k.let("kept_vector", kept.rem(vectors));
            const place = k.let("kept_at", range.base.add(firstRow).add(row).mul(vectors).add(i));
            const finished = finish(input.at(place), factors.memory.at(row), (memory, of) =>
              memory.at(of === "row" ? place : i),
            );
            stream.set(place, finished);
          });
        },
      };
    },
  };
}
