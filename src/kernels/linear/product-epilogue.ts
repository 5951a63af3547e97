/** What becomes of finished sums: scale of the norm, bias, the epilogue's expression, and the store. */
import type { KernelBuilder, Value } from "../../ir/kernel/builder.js";
import { bindOperands, emitElement, operandReader } from "../elementwise/element-expression.js";
import type { RowRange } from "../row-table.js";
import type { LinearOptions } from "./options.js";

/** One element of the output. */
export interface FinishedProduct {
  /** Row within the range. */
  readonly row: Value;
  readonly column: Value;
  /** A sum for every matrix. */
  readonly sums: readonly Value[];
  /** The factor of the row's norm, where there is one. */
  readonly scale?: Value | undefined;
}

/** Binds bias, output and operands, in this order; what is returned stores an element. */
export function bindEpilogue(k: KernelBuilder, options: LinearOptions, range: RowRange) {
  const { outputs, epilogue } = options;
  const packed = options.outputRows === "packed";
  const bias = options.bias ? k.read("bias", "f32", "weight") : undefined;
  const output = k.readWrite("output", "f32");
  const operands = bindOperands(k, options.operands, output);
  return ({ row, column, sums, scale }: FinishedProduct): void => {
    const accumulators = sums.map((sum, matrix) => {
      const scaled = scale ? sum.mul(scale) : sum;
      return k.let("product", bias ? scaled.add(bias.at(column.add(matrix * outputs))) : scaled);
    });
    const tableRow = range.base.add(row);
    const place = k.let("place", (packed ? row : tableRow).mul(outputs).add(column));
    const element = packed ? tableRow.mul(outputs).add(column) : place;
    const read = operandReader(options.operands, operands, element, column);
    output.set(place, emitElement(k, epilogue, accumulators, read));
  };
}
