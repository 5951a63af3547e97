import { describe, expect, it } from "vitest";
import { cellOfA, fragmentLanes, productShape } from "../../../src/ir/kernel/fragments.js";
import { bytesOf } from "../../../src/runtime/dtype.js";
import {
  fragmentLength,
  fragmentPlace,
  fragmentRowBytes,
  gatherFragments,
  inputsOfLoad,
  inputsOfStep,
  scatterFragments,
} from "../../../src/runtime/fragments.js";
import type { Quantisation } from "../../../src/runtime/manifest.js";
import { quantisedGroups, quantiseRows, scalesOfRow, wordsOfRow } from "../../../src/runtime/quantise.js";
import { randomFloats } from "../../numeric/linear-reference.js";

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
    scatterFragments({ columns }, bytesOf(packed), bytesOf(elements), 0);
    expect(packed).toEqual(expected);
  });

  it("are put in place piece by piece, and read back from any element on", () => {
    const [rows, columns] = [21, 19];
    const elements = Uint16Array.from({ length: rows * columns }, (_, index) => index + 1);
    const packed = new Uint16Array(fragmentLength(rows) * fragmentLength(columns));
    for (let first = 0; first < elements.length; first += 50) {
      scatterFragments({ columns }, bytesOf(packed), bytesOf(elements.subarray(first, first + 50)), 2 * first);
    }
    for (const [first, count] of [
      [0, elements.length],
      [37, 100],
      [columns * 16, columns],
    ] as const) {
      const found = gatherFragments({ columns }, bytesOf(packed), 2 * first, 2 * count);
      expect(found).toEqual(bytesOf(elements.slice(first, first + count)));
    }
    expect(packed[fragmentPlace(20, 18, columns)]).toBe(elements.at(-1));
  });
});

describe.each([4, 8] as const)("weights of %i bits in fragments", (bits) => {
  const rows = 19;
  const perWord = 32 / bits;
  const mask = 2 ** bits - 1;
  const quantised = (columns: number, group: Quantisation["group"]) =>
    quantiseRows(randomFloats(9, rows * columns), columns, { bits, group });
  const packed = (info: Parameters<typeof fragmentRowBytes>[0]) =>
    new Uint8Array(fragmentLength(rows) * fragmentRowBytes(info));

  it("give a lane its numbers of several tiles in four words, those of a pair half a word apart", () => {
    for (const columns of [1, 37, 64, 100]) {
      for (const group of quantisedGroups) {
        const how = { bits, group };
        const info = { columns, quantised: { ...how, part: "values" as const } };
        const { values } = quantised(columns, group);
        const bytes = packed(info);
        scatterFragments(info, bytes, bytesOf(values), 0);
        const words = new Uint32Array(bytes.buffer);
        const tilesOfLoad = inputsOfLoad(how) / 16;
        const loads = (Math.ceil(columns / inputsOfStep(how)) * inputsOfStep(how)) / inputsOfLoad(how);
        expect(words).toHaveLength(2 * loads * fragmentLanes * 4);
        for (const [place, word] of words.entries()) {
          const [inLane, lane, load, band] = [
            place % 4,
            Math.floor(place / 4) % fragmentLanes,
            Math.floor(place / 4 / fragmentLanes) % loads,
            Math.floor(place / 4 / fragmentLanes / loads),
          ];
          for (let slot = 0; slot < perWord; slot++) {
            // Pairs follow one another; the second half of each has the upper part of the word.
            const inWord = 2 * (slot % (perWord / 2)) + Math.floor(slot / (perWord / 2));
            const inBlock = inLane * perWord + inWord;
            const cell = cellOfA(lane, inBlock % 8);
            const row = band * 16 + cell.row;
            const column = (load * tilesOfLoad + Math.floor(inBlock / 8)) * 16 + cell.column;
            const from = values[row * wordsOfRow(columns, bits) + Math.floor(column / perWord)];
            const there = row < rows && column < columns;
            const expected = there ? (from! >>> (bits * (column % perWord))) & mask : undefined;
            if (there) expect((word >>> (bits * slot)) & mask, `${row}, ${column}`).toBe(expected);
          }
        }
      }
    }
  });

  it("give a lane the scales of its two rows in a word, and those of a step together", () => {
    for (const columns of [1, 37, 100, 200]) {
      for (const group of quantisedGroups) {
        const info = { columns, quantised: { bits, group, part: "scales" as const } };
        const { scales } = quantised(columns, group);
        const bytes = packed(info);
        scatterFragments(info, bytes, bytesOf(scales), 0);
        const halves = new Uint16Array(bytes.buffer);
        const ofStep = inputsOfStep({ bits, group }) / group;
        const steps = Math.ceil(columns / inputsOfStep({ bits, group }));
        const groups = scalesOfRow(columns, group);
        for (let row = 0; row < rows; row++) {
          for (let index = 0; index < groups; index++) {
            const step = Math.floor(row / 16) * steps + Math.floor(index / ofStep);
            const word = (step * 8 + (row % 8)) * ofStep + (index % ofStep);
            expect(halves[2 * word + (row % 16 >= 8 ? 1 : 0)]).toBe(scales[row * groups + index]);
          }
        }
      }
    }
  });

  it("are put in place piece by piece, and read back", () => {
    const columns = 52;
    for (const part of ["values", "scales"] as const) {
      const info = { columns, quantised: { bits, group: 16 as const, part } };
      const rowsOf = bytesOf(quantised(columns, 16)[part]);
      const bytes = packed(info);
      for (let first = 0; first < rowsOf.length; first += 36) {
        scatterFragments(info, bytes, rowsOf.subarray(first, first + 36), first);
      }
      expect(gatherFragments(info, bytes, 0, rowsOf.length)).toEqual(rowsOf);
      expect(gatherFragments(info, bytes, 20, 60)).toEqual(rowsOf.slice(20, 80));
    }
  });
});
