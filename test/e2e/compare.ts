import { expect } from "vitest";

/** Largest absolute difference that f32 may make, over any device. */
export const tolerance = 2e-3;
/** Where the two likeliest tokens are nearer than this, either may come first. */
const clearGap = 1e-2;

/** Checks logits [rows, vocab] of positions first, first + 1, … against golden ones [n, vocab]. */
export function expectGolden(logits: ArrayLike<number>, golden: ArrayLike<number>, first: number, vocab: number): void {
  const rows = logits.length / vocab;
  let difference = 0;
  for (let row = 0; row < rows; row++) {
    const found = rowOf(logits, row, vocab);
    const wanted = rowOf(golden, first + row, vocab);
    // Written so that a NaN counts.
    for (let id = 0; id < vocab; id++) {
      const distance = Math.abs(found[id]! - wanted[id]!);
      if (!(distance <= difference)) difference = distance;
    }
    const [best, second] = [...wanted].sort((a, b) => b - a) as [number, number];
    if (best - second > clearGap) {
      expect(indexOfLargest(found), `arg-max at position ${first + row}`).toBe(indexOfLargest(wanted));
    }
  }
  expect(difference, "largest absolute difference of a logit").toBeLessThanOrEqual(tolerance);
}

function rowOf(values: ArrayLike<number>, row: number, width: number): number[] {
  return Array.from({ length: width }, (_, column) => values[row * width + column]!);
}

function indexOfLargest(values: readonly number[]): number {
  return values.indexOf(Math.max(...values));
}
