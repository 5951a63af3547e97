import { describe, expect, it } from "vitest";
import { planElimination } from "../../../src/ir/relation/linear-system.js";
import { attempt } from "../../../src/ir/relation/work.js";

describe("an elimination", () => {
  it("pairs every lower bound with every upper bound", () => {
    // Columns: constant, x, y. x >= 1, x >= y; x <= 9, x <= y + 4.
    const rows = [
      [-1, 1, 0],
      [0, 1, -1],
      [9, -1, 0],
      [4, -1, 1],
    ];
    expect(planElimination(rows, 1).pairs.map(({ row }) => row)).toEqual([
      [8, 0, 0],
      [3, 0, 1],
      [9, 0, -1],
      [4, 0, 0],
    ]);
  });

  it("is given up before its pairs are made, so that a system that has grown too large fills no memory", () => {
    const count = 30_000;
    const rows = Array.from({ length: 2 * count }, (_, i) => [i, i < count ? 1 : -1]);
    expect(attempt(100_000, () => planElimination(rows, 1))).toBeUndefined();
  });
});
