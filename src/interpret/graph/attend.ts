/**
 * Softmax attention of one query row over the keys it sees.
 */
import { dot } from "./arithmetic.js";
import type { KeyCache } from "./key-cache.js";

export interface AttentionShape {
  readonly heads: number;
  readonly kvHeads: number;
  /** Of one head. */
  readonly width: number;
  readonly scale: number;
}

/**
 * out = softmax(scale · query · keysᵀ) · values, per head; heads / kvHeads neighbouring heads share keys.
 *
 * `visible` holds stream indices. A query that sees no key gets zeros.
 */
export function attend(
  shape: AttentionShape,
  query: Float64Array,
  queryAt: number,
  cache: KeyCache,
  visible: Int32Array,
  out: Float64Array,
  outAt: number,
): void {
  const { heads, kvHeads, width, scale } = shape;
  const { keyData, valueData } = cache;
  const stride = cache.width;
  const group = heads / kvHeads;
  const weights = new Float64Array(visible.length);
  for (let head = 0; head < heads; head++) {
    const column = Math.floor(head / group) * width;
    const from = queryAt + head * width;
    let greatest = Number.NEGATIVE_INFINITY;
    for (let i = 0; i < visible.length; i++) {
      const score = dot(query, from, keyData, visible[i]! * stride + column, width) * scale;
      weights[i] = score;
      if (score > greatest) greatest = score;
    }
    let total = 0;
    for (let i = 0; i < visible.length; i++) {
      weights[i] = Math.exp(weights[i]! - greatest);
      total += weights[i]!;
    }
    const to = outAt + head * width;
    for (let i = 0; i < visible.length; i++) {
      const share = weights[i]! / total;
      const at = visible[i]! * stride + column;
      for (let c = 0; c < width; c++) out[to + c]! += share * valueData[at + c]!;
    }
  }
}
