import { type ValueType, vectorOf } from "../../ir/kernel/builder.js";
import type { Capabilities } from "../../ir/kernel/capabilities.js";
import type { FloatType } from "../../ir/kernel/types.js";
import type { Quantisation } from "../../runtime/manifest.js";
import type { AttentionShape } from "../attention/options.js";
import type { ElementExpression, Operand } from "../elementwise/element-expression.js";
import type { Tuning } from "../tuning.js";
import type { DeferredInput } from "./deferred-input.js";

/**
 * A product of input rows with one or more weight matrices, with what is fused around it:
 *
 *   output[row, column] = epilogue(norm(input[row]) · weight_jᵀ[column] + bias_j[column], operands)
 *
 * Shapes: input [rows, inputs], weight [matrices × outputs, inputs] (matrix j after matrix j - 1), bias [matrices × outputs],
 * output [rows, outputs].
 */
export interface LinearOptions {
  /** Length of an input row. */
  readonly inputs: number;
  /** Columns of the output. */
  readonly outputs: number;
  /** Accumulators of one output element: 1, or more where the epilogue combines several products (gate and up). */
  readonly matrices: number;
  /** Element type of the weights; sums are always f32. */
  readonly element: FloatType;
  /** The weights are small integers with scales, which become floats of type `element` where they are multiplied. */
  readonly quantised?: Quantisation;
  /** RMS norm of the input row, folded into the product. */
  readonly norm?: { readonly epsilon: number; readonly weight: boolean };
  /** The input rows still lie in the splits of decode attention, and every workgroup merges them for itself. Skinny kernels only. */
  readonly merge?: AttentionShape;
  /** The input is a norm that was left undone; the kernel also writes its rows, to `stream`. */
  readonly deferred?: DeferredInput;
  readonly bias: boolean;
  readonly epilogue: ElementExpression;
  readonly operands: readonly Operand[];
  /** `table`: output row r belongs to row r of the row table. `packed`: the first row of the range is output row 0. */
  readonly outputRows: "table" | "packed";
  readonly capabilities: Capabilities;
  /** The defaults unless given. */
  readonly tuning?: Tuning;
}

/** The widest vector that rows of a length fall into: loads of up to 16 bytes that never straddle two rows. */
export function vectorWidth(length: number): 1 | 2 | 4 {
  return length % 4 === 0 ? 4 : length % 2 === 0 ? 2 : 1;
}

export function vectorType(element: FloatType, length: number): ValueType {
  return vectorOf(element, vectorWidth(length));
}

/** `linear_norm_pair_128_to_384_f16`: what is fused, the shape, and the weights' type where it is not f32 (`int4x32`: 4 bits, groups of 32). */
export function linearName(options: LinearOptions): string {
  const { inputs, outputs, matrices, element, norm, bias, operands, outputRows, quantised } = options;
  return [
    "linear",
    norm && (norm.weight ? "norm" : "unit_norm"),
    options.merge && "merge",
    options.deferred && "deferred",
    matrices > 1 && (matrices === 2 ? "pair" : `of_${matrices}`),
    bias && "bias",
    operands.some(({ name }) => name === "output") && "residual",
    operands.some(({ name }) => name !== "output") && "operands",
    outputRows === "packed" && "packed",
    `${inputs}_to_${outputs}`,
    quantised ? `int${quantised.bits}x${quantised.group}` : element !== "f32" && element,
  ]
    .filter(Boolean)
    .join("_");
}

/** What a linear kernel computes, for its doc comment. */
export function describeLinear(options: LinearOptions): string {
  const { inputs, outputs, matrices, norm, bias } = options;
  const input = options.deferred
    ? `each row of the stream, which the first columns' workgroups write down,${norm ? " normed" : ""}`
    : norm
      ? "the RMS norm of each input row"
      : options.merge
        ? "each row of attention, merged from its splits,"
        : "each input row";
  const product = matrices > 1 ? `${matrices} matrices of ${outputs} × ${inputs}` : `a ${outputs} × ${inputs} matrix`;
  return `Multiplies ${input} by ${product}${bias ? " and adds the bias" : ""}.`;
}
