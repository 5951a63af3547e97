import { buildKernel, f32 } from "../../ir/kernel/builder.js";
import type { Capabilities } from "../../ir/kernel/capabilities.js";
import type { Kernel } from "../../ir/kernel/kernel.js";
import { sumOverWorkgroup } from "../reduce.js";
import { rowScale } from "../row-factors.js";
import { flatWorkgroup, rowRange } from "../row-table.js";
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

const workgroupSize = 64;

/** RMS norm that no product absorbs, with an elementwise epilogue. One workgroup per row, or per head of a row. */
export function norm(options: NormOptions): Kernel {
  const { width, heads, epsilon, epilogue, operands, outputRows, capabilities } = options;
  const residual = operands.some(({ name }) => name === "output");
  const part = width / heads;
  const parts = heads === 1 ? `rows of ${width}` : `${heads} heads of ${part} in every row`;
  return buildKernel(
    [
      "norm",
      !options.weight && "unit",
      residual && "residual",
      outputRows === "packed" && "packed",
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
      // Workgroups beyond the range have nothing to do, but reach the reduction.
      const inside = k.let("inside", index.lt(range.count.mul(heads)));
      const start = k.let("start", range.base.mul(heads).add(index).mul(part));
      const squares = k.var("squares", f32(0));
      k.if(inside, () => {
        k.for("column", { from: k.localId, to: part, step: workgroupSize }, (column) => {
          const x = k.let("x", input.at(start.add(column)));
          squares.set(squares.add(x.mul(x)));
        });
      });
      const total = sumOverWorkgroup(k, [squares], capabilities);
      k.if(inside, () => {
        const scale = k.let("scale", rowScale(total.at(0), part, epsilon));
        const firstColumn = heads === 1 ? undefined : k.let("first_column", index.rem(heads).mul(part));
        k.for("column", { from: k.localId, to: part, step: workgroupSize }, (column) => {
          const element = k.let("element", start.add(column));
          const scaled = input.at(element).mul(scale);
          const normed = k.let("normed", weight ? scaled.mul(weight.at(column)) : scaled);
          const read = operandReader(operands, buffers, element, firstColumn ? firstColumn.add(column) : column);
          const place = outputRows === "packed" ? index.mul(part).add(column) : element;
          output.set(place, emitElement(k, epilogue, [normed], read));
        });
      });
    },
  );
}
