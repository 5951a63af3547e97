import { describe, expect, it } from "vitest";
import { cellOfA, fragmentLanes, productShape } from "../../../src/ir/kernel/fragments.js";
import { fragmentLength, fragmentPlace, gatherFragments, scatterFragments } from "../../../src/runtime/fragments.js";

describe("weights in fragments", () => {
  it("give every lane the eight halves that a product on matrix units takes from it", () => {
    const [rows, columns] = [33, 40];
    const bands = fragmentLength(rows) / productShape.rows;
    const tiles = fragmentLength(columns) / productShape.depth;
    const expected = new Uint16Array(fragmentLength(rows) * fragmentLength(columns));
    for (let tile = 0; tile < bands * tiles; tile++) {
      for (let lane = 0; lane < fragmentLanes; lane++) {
        for (let half = 0; half < 8; half++) {
          const cell = cellOfA(lane, half);
          const row = Math.floor(tile / tiles) * productShape.rows + cell.row;
          const column = (tile % tiles) * productShape.depth + cell.column;
          const there = row < rows && column < columns;
          expected[(tile * fragmentLanes + lane) * 8 + half] = there ? row * columns + column + 1 : 0;
        }
      }
    }
    const elements = Uint16Array.from({ length: rows * columns }, (_, index) => index + 1);
    const packed = new Uint16Array(expected.length);
    scatterFragments(packed, elements, 0, columns);
    expect(packed).toEqual(expected);
  });

  it("are put in place piece by piece, and read back from any element on", () => {
    const [rows, columns] = [21, 19];
    const elements = Uint16Array.from({ length: rows * columns }, (_, index) => index + 1);
    const packed = new Uint16Array(fragmentLength(rows) * fragmentLength(columns));
    for (let first = 0; first < elements.length; first += 50) {
      scatterFragments(packed, elements.subarray(first, first + 50), first, columns);
    }
    for (const [first, count] of [
      [0, elements.length],
      [37, 100],
      [columns * 16, columns],
    ] as const) {
      expect(gatherFragments(packed, first, count, columns)).toEqual(elements.slice(first, first + count));
    }
    expect(packed[fragmentPlace(20, 18, columns)]).toBe(elements.at(-1));
  });
});
