/** What repetition costs: the time of a point over that of the same model at the same size without it. */
import type { Point, PointReport } from "./report.js";

/** Undefined for what is not repeated, and where the model without repetition was not measured. */
export function overSingle(
  points: readonly PointReport[],
  point: PointReport,
  phase: "prefill" | "decode",
): number | undefined {
  if (point.copies === 1) return undefined;
  const single = points.find((other) => other.copies === 1 && sameSize(other, point));
  return single === undefined ? undefined : point[phase].ms.median / single[phase].ms.median;
}

export function sameSize(left: Point, right: Point): boolean {
  const keys = ["model", "prompt", "batch", "dtype", "device"] as const;
  return keys.every((key) => left[key] === right[key]);
}
