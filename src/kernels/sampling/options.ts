/**
 * What the sampling kernels are built from, and what they are bound to.
 *
 *   argmax   logits, control; parameters sequences_at, sequence_stride, rows_at, batch, context
 *   sample   logits, control; the same parameters, and temperature f32, top_p f32, top_k u32, seed u32
 *
 * `logits` is f32 [batch][vocab]; `control` is the decode phase's control buffer (i32, read and written).
 *
 * Both choose one token per sequence and then advance the decode table by one step: sequences[2] becomes the token, [3] (steps) grows
 * by one, [0] (length) grows by one up to the context, [1] (start) is one less than that, and the sequence's row of every copy gets
 * the token as its id and the next position. So the table must stand at the last known position when they run.
 */
import type { Expr } from "../../ir/expr.js";
import type { Capabilities } from "../../ir/kernel/capabilities.js";

export interface SamplingOptions {
  readonly vocab: number;
  /** K: rows of a sequence in the decode table. */
  readonly copies: number;
  readonly capabilities: Capabilities;
}

/** One workgroup per sequence. */
export const samplingWorkgroups: readonly [Expr, Expr, Expr] = ["batch", 1, 1];

/** As many invocations as there can be, for one workgroup reads all logits of a sequence. */
export function samplingWorkgroupSize({ capabilities }: SamplingOptions): number {
  return Math.min(256, 2 ** Math.floor(Math.log2(capabilities.limits.maxWorkgroupSize)));
}
