/** Queries, keys and values as products leave them, side by side in wide rows, and how they are turned by their tokens' places. */
import type { KernelBuilder, Memory, Value } from "../../ir/kernel/builder.js";

/** Heads that stand side by side in a row of a source buffer. */
export interface HeadColumns {
  /** Index into `sources`. */
  readonly source: number;
  /** First column. */
  readonly offset: number;
  readonly norm?: HeadColumnsNorm;
  readonly rotate: boolean;
}

export interface HeadColumnsNorm {
  readonly epsilon: number;
  /** Each head by itself, or all heads of the row together. */
  readonly over: "head" | "row";
  /** First entry in `norm_weights`: `width` entries for a head, `heads × width` for a row. */
  readonly weightAt: number;
}

/** cos and sin of a pair's angle, u32 places; the share of the copy is added by the addition theorem. */
export function headAngle(
  k: KernelBuilder,
  token: { readonly pos: Value; readonly copy: Value },
  pair: Value,
  half: number,
  posAngles: Memory,
  copyAngles: Memory | undefined,
): { cos: Value; sin: Value } {
  const pos = k.let("pos_angle", posAngles.at(token.pos.mul(half).add(pair)));
  if (copyAngles === undefined) return { cos: pos.x, sin: pos.y };
  const copy = k.let("copy_angle", copyAngles.at(token.copy.sub(1).mul(half).add(pair)));
  return {
    cos: k.let("cos", pos.x.mul(copy.x).sub(pos.y.mul(copy.y))),
    sin: k.let("sin", pos.y.mul(copy.x).add(pos.x.mul(copy.y))),
  };
}
