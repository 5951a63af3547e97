import { buildKernel } from "../../ir/kernel/builder.js";
import type { Kernel } from "../../ir/kernel/kernel.js";
import { flatWorkgroup, rowRange } from "../row-table.js";
import {
  bindOperands,
  type ElementExpression,
  emitElement,
  type Operand,
  operandReader,
} from "./element-expression.js";

export interface MapOptions {
  readonly width: number;
  readonly expression: ElementExpression;
  readonly operands: readonly Operand[];
  readonly outputRows: "table" | "packed";
}

const workgroupSize = 64;

/** Computes an elementwise expression for every element of the rows. One invocation per element. */
export function map({ width, expression, operands, outputRows }: MapOptions): Kernel {
  return buildKernel(
    outputRows === "packed" ? `map_packed_${width}` : `map_${width}`,
    {
      doc: "Computes an elementwise expression for every element of the rows. One invocation per element.",
      dispatch: `ceil(row_count * ${width} / ${workgroupSize}) workgroups over x and y`,
      workgroupSize,
    },
    (k) => {
      const output = k.readWrite("output", "f32");
      const buffers = bindOperands(k, operands, output);
      const range = rowRange(k);
      const index = k.let("index", flatWorkgroup(k).mul(workgroupSize).add(k.localId));
      k.if(index.lt(range.count.mul(width)), () => {
        const element = k.let("element", range.base.mul(width).add(index));
        const read = operandReader(operands, buffers, element, index.rem(width));
        output.set(outputRows === "packed" ? index : element, emitElement(k, expression, [], read));
      });
    },
  );
}
