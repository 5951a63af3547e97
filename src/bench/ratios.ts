/** What repetition costs: the time of a point over that of the same model at the same size without it. */
import type { Point, PointReport } from "./report.js";
import { median } from "./statistics.js";

type Phase = "prefill" | "decode";

/** Over K = 1 with the same weights. Undefined for what is not repeated, and where the model without repetition was not measured. */
export function overSingle(points: readonly PointReport[], point: PointReport, phase: Phase): number | undefined {
  if (point.copies === 1) return undefined;
  const single = points.find((other) => other.copies === 1 && sameSize(other, point));
  return single && timeOver(point, single, phase);
}

/** Over K = 1 with weights that are floats. Undefined for a point whose weights are. */
export function overPlain(points: readonly PointReport[], point: PointReport, phase: Phase): number | undefined {
  if (point.quantise === undefined) return undefined;
  const plain = points.find((other) => other.copies === 1 && other.quantise === undefined && comparable(other, point));
  return plain && timeOver(point, plain, phase);
}

/**
 * Points that took turns are compared round by round, so that a machine that was slow for some rounds was so for both; others by
 * their medians.
 */
function timeOver(point: PointReport, base: PointReport, phase: Phase): number {
  const { rounds, ms } = point[phase];
  const baseRounds = base[phase].rounds;
  const inTurn = [point, base].every(({ measured }) => measured === "in-turn") && rounds.length === baseRounds.length;
  return inTurn ? median(rounds.map((time, round) => time / baseRounds[round]!)) : ms.median / base[phase].ms.median;
}

/** Whether points differ in repetition only. */
export function sameSize(left: Point, right: Point): boolean {
  return comparable(left, right) && left.quantise === right.quantise && left.group === right.group;
}

/** Whether points differ in repetition and in what their products' weights are stored as only: those that are measured in turn. */
export function comparable(left: Point, right: Point): boolean {
  const keys = ["model", "prompt", "batch", "dtype", "device"] as const;
  return keys.every((key) => left[key] === right[key]);
}
