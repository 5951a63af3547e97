import { buildKernel, f32, min, type Value } from "../../ir/kernel/builder.js";
import type { Capabilities } from "../../ir/kernel/capabilities.js";
import type { Kernel } from "../../ir/kernel/kernel.js";
import { sumOverWorkgroup } from "../reduce.js";
import { rowScale } from "../row-factors.js";
import { flatWorkgroup, rowRange } from "../row-table.js";
import { times } from "../times.js";
import {
  bindOperands,
  type ElementExpression,
  emitElement,
  type Operand,
  operandReader,
} from "./element-expression.js";

export interface NormOptions {
  /** Columns of a row. */
  readonly width: number;
  /** Equal parts of a row that are normed each by itself; 1 where the whole row is. */
  readonly heads: number;
  readonly epsilon: number;
  /** Whether there is a gain per column (of a part). */
  readonly weight: boolean;
  /** Sees the normed element as accumulator 0; a residual may be added here. */
  readonly epilogue: ElementExpression;
  readonly operands: readonly Operand[];
  readonly outputRows: "table" | "packed";
  readonly capabilities: Capabilities;
}

/** Elements of a lane, which it loads together and keeps until the factor of the row is known; longer rows get larger workgroups first. */
const elementsEach = 8;

function workgroupSizeFor(part: number, { limits }: Capabilities): number {
  const enough = 2 ** Math.ceil(Math.log2(part / elementsEach));
  return Math.min(Math.max(enough, 64), 256, limits.maxWorkgroupSize);
}

/** RMS norm that no product absorbs, with an elementwise epilogue. One workgroup per row, or per head of a row. */
export function norm(options: NormOptions): Kernel {
  const { width, heads, epsilon, epilogue, operands, capabilities } = options;
  const packed = options.outputRows === "packed";
  const residual = operands.some(({ name }) => name === "output");
  const part = width / heads;
  const parts = heads === 1 ? `rows of ${width}` : `${heads} heads of ${part} in every row`;
  const workgroupSize = workgroupSizeFor(part, capabilities);
  return buildKernel(
    [
      "norm",
      !options.weight && "unit",
      residual && "residual",
      packed && "packed",
      heads > 1 && `${heads}_heads`,
      width,
    ]
      .filter(Boolean)
      .join("_"),
    {
      doc: `RMS norm of ${parts}${residual ? ", added to what the output holds" : ""}. One workgroup for each.`,
      dispatch: heads === 1 ? "row_count workgroups over x and y" : `row_count * ${heads} workgroups over x and y`,
      workgroupSize,
    },
    (k) => {
      const input = k.read("input", "f32");
      const weight = options.weight ? k.read("norm_weight", "f32", "weight") : undefined;
      const output = k.readWrite("output", "f32");
      const buffers = bindOperands(k, operands, output);
      const range = rowRange(k);

      const index = k.let("index", flatWorkgroup(k));
      const count = k.let("count", range.count.mul(heads));
      // Workgroups beyond the range read its last part and reach the reduction, but store nothing.
      const start = k.let(
        "start",
        range.base
          .mul(heads)
          .add(min(index, count.sub(1)))
          .mul(part),
      );
      const columns = times(Math.ceil(part / workgroupSize), (turn) =>
        k.let("column", k.localId.add(turn * workgroupSize)),
      );
      /** Whether lanes may have no element in a turn: the last, of a row that does not divide evenly. */
      const isRagged = (turn: number) => (turn + 1) * workgroupSize > part;
      const elements = columns.map((column, turn) => {
        if (!isRagged(turn)) return k.let("x", input.at(start.add(column)));
        const x = k.var("x", f32(0));
        k.if(column.lt(part), () => x.set(input.at(start.add(column))));
        return x;
      });
      const squares = k.var("squares", f32(0));
      for (const x of elements) squares.set(squares.add(x.mul(x)));
      const total = sumOverWorkgroup(k, [squares], capabilities);

      const scale = k.let("scale", rowScale(total.at(0), part, epsilon));
      const firstColumn = heads === 1 ? undefined : k.let("first_column", index.rem(heads).mul(part));
      const finish = (turn: number) => {
        const column = columns[turn]!;
        const scaled = elements[turn]!.mul(scale);
        const normed = k.let("normed", weight ? scaled.mul(weight.at(column)) : scaled);
        const element = k.let("element", start.add(column));
        const read = operandReader(operands, buffers, element, firstColumn ? firstColumn.add(column) : column);
        return k.let("finished", emitElement(k, epilogue, [normed], read));
      };
      const store = (turn: number, value: Value) =>
        output.set((packed ? index.mul(part) : start).add(columns[turn]!), value);
      const turns = times(columns.length, (turn) => turn);
      k.if(index.lt(count), () => {
        // All loads stand before the first store, which they could not pass.
        const finished = turns.filter((turn) => !isRagged(turn)).map((turn) => ({ turn, value: finish(turn) }));
        for (const { turn, value } of finished) store(turn, value);
        for (const turn of turns.filter(isRagged)) k.if(columns[turn]!.lt(part), () => store(turn, finish(turn)));
      });
    },
  );
}
