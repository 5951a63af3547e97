import { describe, expect, it } from "vitest";
import {
  countRows,
  cutIntoSlices,
  decodeTable,
  decodeTiles,
  prefillTable,
  prefillTiles,
  type RowTable,
} from "../../../src/runtime/rows.js";
import { assertFits, rowModel, shapeSession } from "../../../src/runtime/shape.js";
import { toyPackage } from "./toy-model.js";

/** K = 3, two layers, a window of 2: layer 0 reaches back 6 hidden tokens, layer 1 reaches back 4. */
const { manifest } = toyPackage({ layers: 2, copies: 3, window: 2 });
const model = rowModel(manifest);

/** `sequence:pos.copy` of every row. */
function printRows({ words, rows }: RowTable): string {
  return Array.from({ length: rows }, (_, row) => {
    const [sequence, pos, copy] = words.subarray(row * 4);
    return `${sequence}:${pos}.${copy}`;
  }).join(" ");
}

describe("the row table of a prefill", () => {
  it("puts rows that die first in front, and the predicted row last", () => {
    const table = prefillTable(model, [{ sequence: 0, start: 0, ids: [9, 8, 7, 6] }]);
    expect(printRows(table)).toMatchInlineSnapshot(`"0:1.2 0:1.3 0:0.1 0:1.1 0:2.1 0:3.1 0:2.2 0:2.3 0:3.2 0:3.3"`);
    expect(table.input(0)).toEqual({ base: 0, count: 10 });
    expect(table.query(0)).toEqual(table.input(1));
    expect(table.input(1)).toEqual({ base: 2, count: 8 });
    expect(table.query(1)).toEqual(table.output);
    expect(table.output).toEqual({ base: 9, count: 1 });
  });

  it("gives every row the id of its position", () => {
    const { words, rows } = prefillTable(model, [{ sequence: 0, start: 5, ids: [9, 8] }]);
    const ids = Array.from({ length: rows }, (_, row) => [words[row * 4 + 1], words[row * 4 + 3]]);
    expect(ids.every(([pos, id]) => id === (pos === 5 ? 9 : 8))).toBe(true);
  });

  it("keeps sequences together and their predicted rows in sequence order", () => {
    const table = prefillTable(model, [
      { sequence: 0, start: 0, ids: [1] },
      { sequence: 1, start: 3, ids: [1, 2] },
    ]);
    expect(printRows(table)).toMatchInlineSnapshot(`"0:0.1 0:0.2 1:3.1 1:4.1 1:3.2 1:3.3 1:4.2 0:0.3 1:4.3"`);
    expect(table.output).toEqual({ base: 7, count: 2 });
  });

  it("has tiles of neighbouring rows of one sequence and one key group", () => {
    const table = prefillTable(model, [{ sequence: 0, start: 0, ids: [9, 8, 7, 6] }]);
    expect(prefillTiles(model, table, table.input(0), 3)).toEqual(
      [
        [0, 2, 1, 0],
        [2, 3, 1, 0],
        [5, 1, 1, 0],
        [6, 3, 1, 0],
        [9, 1, 1, 0],
      ].flat(),
    );
  });
});

describe("slices", () => {
  it("hold no more rows than there is room for, and all tokens in order", () => {
    const ids = Array.from({ length: 23 }, (_, at) => at);
    const parts = cutIntoSlices(model, { sequence: 2, start: 4, ids }, 8, 12);
    expect(parts.flatMap((part) => Array.from(part.ids))).toEqual(ids);
    for (const { start, ids, sequence, of } of parts) {
      expect(sequence).toBe(2);
      expect(countRows(model, start, start + ids.length, of)).toBeLessThanOrEqual(12);
    }
    expect(parts.map(({ start }) => start)[1]).toBe(4 + parts[0]!.ids.length);
  });
});

describe("slices of a prompt", () => {
  const ids = Array.from({ length: 9 }, (_, at) => at);

  it("compute originals before the trapezoid of the whole prompt, and predict at its end only", () => {
    const parts = cutIntoSlices(model, { sequence: 0, start: 0, ids }, 3, 100);
    const tables = parts.map((part) => prefillTable(model, [part]));
    expect(tables.map(printRows)).toMatchInlineSnapshot(`
      [
        "0:0.1 0:1.1 0:2.1",
        "0:3.1 0:4.1 0:5.1",
        "0:6.2 0:6.3 0:6.1 0:7.1 0:8.1 0:7.2 0:7.3 0:8.2 0:8.3",
      ]
    `);
    expect(tables.map(({ output }) => output.count)).toEqual([0, 0, 1]);
    expect(tables.map((table) => table.query(1).count)).toEqual([0, 0, 1]);
  });

  it("reach back behind a cut for rows whose keys are not kept for ever", () => {
    const parts = cutIntoSlices(model, { sequence: 0, start: 8, resumesAt: 0, ids }, 3, 100);
    expect(parts.map(({ start, ids }) => [start, Array.from(ids)])).toMatchInlineSnapshot(`
      [
        [
          6,
          [
            6,
            7,
            8,
          ],
        ],
      ]
    `);
    expect(parts.map((part) => printRows(prefillTable(model, [part])))).toMatchInlineSnapshot(`
      [
        "0:6.2 0:6.3 0:8.1 0:7.2 0:7.3 0:8.2 0:8.3",
      ]
    `);
  });
});

describe("the row table of decode", () => {
  it("is copy-major, and its tiles are the copies of one sequence", () => {
    const table = decodeTable(model, [
      { pos: 7, id: 1 },
      { pos: 3, id: 2 },
    ]);
    expect(printRows(table)).toBe("0:7.1 1:3.1 0:7.2 1:3.2 0:7.3 1:3.3");
    expect(table.output).toEqual({ base: 4, count: 2 });
    expect(decodeTiles(2, table.input(0), 2)).toEqual(
      [
        [0, 2, 2, 0],
        [4, 1, 2, 0],
        [1, 2, 2, 1],
        [5, 1, 2, 1],
      ].flat(),
    );
    expect(decodeTiles(2, table.output, 2)).toEqual(
      [
        [4, 1, 2, 0],
        [5, 1, 2, 1],
      ].flat(),
    );
  });
});

describe("the size of a session", () => {
  const limits = { maxBufferSize: 1 << 28, maxStorageBufferBindingSize: 1 << 27 };

  it("has room for the rows of its slices in every batch", () => {
    const shape = shapeSession(manifest, { batch: 2, context: 40, slice: 8 }, limits);
    expect(shape.maxRows).toBe(2 * countRows(model, 0, 8));
    expect(shape.symbols["max_rows"]).toBe(shape.maxRows);
  });

  it("keeps originals for the context and hidden tokens in a ring that does not grow with it", () => {
    const bytesOf = (context: number) => {
      const { buffers } = shapeSession(manifest, { context }, limits);
      const find = (name: string) => buffers.find((buffer) => buffer.name === name)!.bytes;
      return [find("keys of originals in layer 0"), find("keys of hidden in layer 0")];
    };
    expect(bytesOf(100)).toEqual([2 * 100 * 4 * 4, 2 * (2 + 2) * 4 * 4]);
    expect(bytesOf(1000)[1]).toBe(bytesOf(100)[1]);
  });

  it("shrinks its slices until everything fits the device's limits", () => {
    const small = { maxBufferSize: 8192, maxStorageBufferBindingSize: 8192 };
    const shape = shapeSession(manifest, { context: 256 }, small);
    expect(shape.slice).toBeLessThan(256);
    expect(shape.buffers.filter(({ bytes }) => bytes > 8192)).toEqual([]);
    expect(() => shapeSession(manifest, { context: 256, slice: 256 }, small)).toThrow("in one buffer");
  });

  it("is refused with the figures when it exceeds the memory that the caller allows", () => {
    const shape = shapeSession(manifest, { context: 100 }, limits);
    const total = shape.buffers.reduce((sum, { bytes }) => sum + bytes, 500);
    expect(() => assertFits(total, 500, shape)).not.toThrow();
    expect(() => assertFits(total - 1, 500, shape)).toThrow(
      `the model needs ${total} bytes and ${total - 1} are allowed`,
    );
  });
});
