import { buildKernel, f32 } from "../../ir/kernel/builder.js";
import type { Capabilities } from "../../ir/kernel/capabilities.js";
import type { Kernel } from "../../ir/kernel/kernel.js";
import { rowScale } from "../linear/skinny.js";
import { sumOverWorkgroup } from "../reduce.js";
import { flatWorkgroup, rowRange } from "../row-table.js";
import {
  bindOperands,
  type ElementExpression,
  emitElement,
  type Operand,
  operandReader,
} from "./element-expression.js";

export interface NormOptions {
  readonly width: number;
  readonly epsilon: number;
  /** Whether there is a gain per column. */
  readonly weight: boolean;
  /** Sees the normed element as accumulator 0; a residual may be added here. */
  readonly epilogue: ElementExpression;
  readonly operands: readonly Operand[];
  readonly capabilities: Capabilities;
}

const workgroupSize = 64;

/** RMS norm of every row that no product absorbs, with an elementwise epilogue. One workgroup per row. */
export function norm(options: NormOptions): Kernel {
  const { width, epsilon, epilogue, operands, capabilities } = options;
  const residual = operands.some(({ name }) => name === "output");
  return buildKernel(
    ["norm", !options.weight && "unit", residual && "residual", width].filter(Boolean).join("_"),
    {
      doc: `RMS norm of every row of ${width}${residual ? ", added to what the output holds" : ""}. One workgroup per row.`,
      dispatch: "row_count workgroups over x and y",
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
      const start = k.let("start", range.base.add(index).mul(width));
      const inside = k.let("inside", index.lt(range.count));
      const squares = k.var("squares", f32(0));
      k.if(inside, () => {
        k.for("column", { from: k.localId, to: width, step: workgroupSize }, (column) => {
          const x = k.let("x", input.at(start.add(column)));
          squares.set(squares.add(x.mul(x)));
        });
      });
      const total = sumOverWorkgroup(k, [squares], capabilities);
      k.if(inside, () => {
        const scale = k.let("scale", rowScale(total.at(0), width, epsilon));
        k.for("column", { from: k.localId, to: width, step: workgroupSize }, (column) => {
          const element = k.let("element", start.add(column));
          const scaled = input.at(element).mul(scale);
          const normed = k.let("normed", weight ? scaled.mul(weight.at(column)) : scaled);
          output.set(element, emitElement(k, epilogue, [normed], operandReader(operands, buffers, element, column)));
        });
      });
    },
  );
}
