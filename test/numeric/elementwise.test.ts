import { describe, expect, it } from "vitest";
import { AccessCounts, runKernel } from "../../src/interpret/kernel/run-kernel.js";
import type { Capabilities } from "../../src/ir/kernel/capabilities.js";
import { halfFromBits } from "../../src/ir/kernel/half.js";
import type { ElementExpression } from "../../src/kernels/elementwise/element-expression.js";
import { embed } from "../../src/kernels/elementwise/embed.js";
import { map } from "../../src/kernels/elementwise/map.js";
import { norm } from "../../src/kernels/elementwise/norm.js";
import { headsOf, type StoreKeysOptions, storeKeys } from "../../src/kernels/elementwise/store-keys.js";
import {
  largestDifference,
  randomFloats,
  rmsNorm,
  stored,
  withoutSubgroups,
  withSubgroups,
} from "./linear-reference.js";

// One rounding of f32 per operation, on values of about 1.
const tolerance = 1e-5;

const operand = (name: string): ElementExpression => ({ kind: "operand", name });
const element: ElementExpression = { kind: "accumulator", index: 0 };

/** A control buffer for rows of (sequence, pos, copy, id), with key bases per sequence and group. */
function controlOf(
  rows: readonly (readonly [number, number, number, number])[],
  bases: readonly (readonly number[])[] = [],
) {
  const stride = 4 + (bases[0]?.length ?? 0);
  const sequences = bases.flatMap((base) => [0, 0, 0, 0, ...base]);
  return {
    control: Int32Array.from([...sequences, ...rows.flat()]),
    params: { sequences_at: 0, sequence_stride: stride, rows_at: sequences.length },
  };
}

describe("embedding", () => {
  for (const width of [1, 6, 24]) {
    for (const type of ["f32", "f16"] as const) {
      it(`gathers rows of ${width} in ${type}, the same for all copies of a token`, () => {
        const table = stored(randomFloats(1, 10 * width), type);
        const ids = [3, 9, 9, 0];
        const { control, params } = controlOf(ids.map((id, index) => [0, index, 1, id]));
        const output = new Float32Array(ids.length * width).fill(7);
        runKernel(embed({ width, element: type }), {
          buffers: { control, weight: table.data, output },
          params: { rows_at: params.rows_at, row_base: 1, row_count: 3, part_base: 0, part_rows: 10 },
          workgroups: [1, 2, 1],
        });
        const expected = ids.flatMap((id, row) =>
          Array.from({ length: width }, (_, column) => (row === 0 ? 7 : table.read[id * width + column]!)),
        );
        expect([...output]).toEqual(expected);
      });
    }
  }

  it.each([1, 5, 8])("gathers rows of %i once for all copies of a sequence's token", (width) => {
    const table = randomFloats(1, 10 * width);
    const [batch, copies] = [3, 4];
    const ids = [7, 0, 9];
    const rows = Array.from(
      { length: batch * copies },
      (_, row) => [row % batch, 5, 1 + row, ids[row % batch]!] as const,
    );
    const { control, params } = controlOf(rows);
    const output = new Float32Array(rows.length * width).fill(7);
    const count = new AccessCounts();
    // The first copy does not enter.
    runKernel(embed({ width, element: "f32", oneTokenEach: true }), {
      buffers: { control, weight: table, output },
      params: { rows_at: params.rows_at, row_base: batch, row_count: 9, part_base: 0, part_rows: 10, batch },
      workgroups: [1, 2, 1],
      count,
      detectRaces: true,
    });
    const expected = rows.flatMap(([, , , id], row) =>
      Array.from({ length: width }, (_, column) => (row < batch ? 7 : table[id * width + column]!)),
    );
    expect([...output]).toEqual(expected);
    expect(Math.max(...count.of("weight").loadsOfElement)).toBe(1);
  });

  it("leaves rows alone whose token is in another part of the table", () => {
    const { control, params } = controlOf([4, 5, 6, 7].map((id, index) => [0, index, 1, id]));
    const output = new Float32Array(4).fill(-1);
    runKernel(embed({ width: 1, element: "f32" }), {
      buffers: { control, weight: Float32Array.from([50, 60]), output },
      params: { rows_at: params.rows_at, row_base: 0, row_count: 4, part_base: 5, part_rows: 2 },
      workgroups: [1, 1, 1],
    });
    expect([...output]).toEqual([-1, 50, 60, -1]);
  });
});

describe("elementwise expressions", () => {
  const functions = {
    silu: (x: number) => x / (1 + Math.exp(-x)),
    sigmoid: (x: number) => 1 / (1 + Math.exp(-x)),
    relu: (x: number) => Math.max(x, 0),
    tanh: Math.tanh,
    negate: (x: number) => -x,
    "gelu-tanh": (x: number) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  } as const;
  for (const [name, reference] of Object.entries(functions)) {
    it(`computes ${name}, also where exponentials overflow`, () => {
      const x = Float32Array.from([-300, -90, -8, -1, -0.1, 0, 0.3, 2, 9, 90, 300]);
      const output = new Float32Array(x.length);
      const expression: ElementExpression = {
        kind: "unary",
        function: name as keyof typeof functions,
        input: operand("x"),
      };
      runKernel(map({ width: x.length, expression, operands: [{ name: "x", of: "element" }], outputRows: "table" }), {
        buffers: { x, output },
        params: { row_base: 0, row_count: 1 },
        workgroups: [1, 1, 1],
      });
      expect(largestDifference(output, Array.from(x, reference))).toBeLessThan(tolerance);
    });
  }

  it("combines rows, vectors over the columns and what the output holds", () => {
    const width = 5;
    const [x, gain, before] = [randomFloats(1, 20), randomFloats(2, width), randomFloats(3, 20)];
    const output = before.slice();
    const expression: ElementExpression = {
      kind: "binary",
      function: "subtract",
      left: {
        kind: "scale",
        input: { kind: "binary", function: "multiply", left: operand("x"), right: operand("gain") },
        factor: 3,
        offset: 0.5,
      },
      right: operand("output"),
    };
    const operands = [
      { name: "x", of: "element" },
      { name: "gain", of: "column" },
      { name: "output", of: "element" },
    ] as const;
    runKernel(map({ width, expression, operands, outputRows: "table" }), {
      buffers: { x, gain, output },
      params: { row_base: 1, row_count: 3 },
      workgroups: [1, 1, 1],
    });
    const expected = Array.from(before, (old, i) => (i < width ? old : x[i]! * gain[i % width]! * 3 + 0.5 - old));
    expect(largestDifference(output, expected)).toBeLessThan(tolerance);
  });
});

describe.each([
  ["workgroup memory", withoutSubgroups, 32],
  ["small subgroups", withSubgroups, 4],
  ["subgroups", withSubgroups, 32],
] as const)("a norm summed through %s", (_, capabilities, subgroupSize) => {
  for (const width of [1, 7, 64, 150, 1537, 2048]) {
    it(`norms rows of ${width}, with a weight and a residual`, () => {
      const [x, weight, before] = [randomFloats(1, 4 * width), randomFloats(2, width), randomFloats(3, 4 * width)];
      const output = before.slice();
      const options = {
        ...{ width, heads: 1, epsilon: 1e-5, weight: true, outputRows: "table" as const, capabilities },
        epilogue: { kind: "binary", function: "add", left: element, right: operand("output") },
        operands: [{ name: "output", of: "element" }],
      } as const;
      runKernel(norm(options), {
        buffers: { input: x, norm_weight: weight, output },
        params: { row_base: 1, row_count: 3 },
        workgroups: [2, 2, 1],
        subgroupSize,
        detectRaces: true,
      });
      const expected = Array.from({ length: 4 }, (_, row) => {
        const normed = rmsNorm([...x.subarray(row * width, (row + 1) * width)], 1e-5, weight);
        return normed.map((value, column) => (row === 0 ? 0 : value) + before[row * width + column]!);
      }).flat();
      expect(largestDifference(output, expected)).toBeLessThan(tolerance);
    });
  }
});

describe("storing keys", () => {
  interface StoreCase {
    readonly width: number;
    readonly norm?: "head" | "row";
    readonly rotate: boolean;
    readonly copyAngles?: boolean;
    readonly element?: "f32" | "f16";
    readonly capabilities?: Capabilities;
    /** Groups that are stored: originals are group 0, hidden tokens group 1. */
    readonly groups?: readonly number[];
    readonly what?: "queries" | "keys" | "both";
  }

  const [heads, kvHeads, copies, batch, context] = [4, 2, 3, 2, 12];
  // Rows of two sequences, in no special order; row 0 is outside the range.
  const rows = [
    [0, 0, 1, 0],
    [0, 5, 1, 0],
    [1, 9, 3, 0],
    [1, 9, 2, 0],
    [0, 4, 2, 0],
    [1, 11, 1, 0],
  ] as const;
  const copyRange = [
    [1, 1],
    [2, 3],
  ] as const;
  const slots = [context, 6];
  const bases = [
    [0, 3],
    [2, 17],
  ];

  function check(test: StoreCase) {
    const { width, rotate, copyAngles = false, element = "f32", groups = [0, 1], what = "both" } = test;
    const [queryColumns, keyColumns] = [heads * width, kvHeads * width];
    const stride = queryColumns + 2 * keyColumns;
    const source = randomFloats(1, rows.length * stride);
    const weightSizes = test.norm === "row" ? [queryColumns, keyColumns] : [width, width];
    const normWeights = randomFloats(2, weightSizes[0]! + weightSizes[1]!);
    const normOf = (weightAt: number) => test.norm && { epsilon: 1e-5, over: test.norm, weightAt };
    const query = { source: 0, offset: 0, rotate, ...(test.norm && { norm: normOf(0)! }) };
    const key = { source: 0, offset: queryColumns, rotate, ...(test.norm && { norm: normOf(weightSizes[0]!)! }) };
    const stores = groups.map((group) => ({ group, firstCopy: copyRange[group]![0], lastCopy: copyRange[group]![1] }));
    const value = { source: 0, offset: queryColumns + keyColumns };
    const options: StoreKeysOptions = {
      ...{ sources: [stride], heads, kvHeads, width, copyAngles, copies },
      ...(what !== "keys" && { query }),
      ...(what !== "queries" && { keys: { key, value, element, groups: stores } }),
      capabilities: test.capabilities ?? withoutSubgroups,
    };

    const half = width / 2;
    const angle = (pos: number, copy: number, pair: number) => (pos * 1.3 + (copyAngles ? copy * 0.7 : 0)) / (1 + pair);
    const table = (count: number, of: (row: number, pair: number) => number) =>
      Float32Array.from(
        Array.from({ length: count * half }, (_, i) => of(Math.floor(i / half), i % half)).flatMap((a) => [
          Math.cos(a),
          Math.sin(a),
        ]),
      );
    const posAngles = table(context, (pos, pair) => angle(pos, 0, pair));
    const copyTable = table(copies, (copy, pair) => ((copy + 1) * 0.7) / (1 + pair));
    const { control, params } = controlOf(rows, bases);
    const queries = new Float32Array(rows.length * queryColumns);
    const keyBuffers = slots.map((count) => new Float32Array(2 * batch * count * keyColumns));
    const keyData = keyBuffers.map((buffer) => (element === "f16" ? new Uint16Array(buffer.length) : buffer));
    runKernel(storeKeys(options), {
      buffers: {
        ...{ control, source_0: source },
        ...(test.norm && { norm_weights: normWeights }),
        ...(rotate && { pos_angles: posAngles }),
        ...(rotate && copyAngles && { copy_angles: copyTable }),
        ...(what !== "keys" && { queries }),
        ...(what !== "queries" && Object.fromEntries(groups.map((group) => [`keys_${group}`, keyData[group]!]))),
      },
      params: {
        ...{ row_base: 1, row_count: rows.length - 1, rows_at: params.rows_at },
        ...(what !== "queries" && { sequences_at: 0, sequence_stride: params.sequence_stride, batch }),
        ...(what !== "queries" && Object.fromEntries(groups.map((group) => [`slots_${group}`, slots[group]!]))),
      },
      workgroups: [headsOf(options), 4, 2],
      detectRaces: true,
    });

    const finish = (
      values: number[],
      row: (typeof rows)[number],
      columns: { norm: number[]; rotate: boolean },
      head: number,
    ) => {
      let x = values.slice(head * width, (head + 1) * width);
      if (test.norm === "head") x = rmsNorm(x, 1e-5, columns.norm);
      if (test.norm === "row") x = rmsNorm(values, 1e-5, columns.norm).slice(head * width, (head + 1) * width);
      if (!columns.rotate) return x;
      return x.map((a, i) => {
        const theta = angle(row[1], row[2], i % half);
        return i < half
          ? a * Math.cos(theta) - x[i + half]! * Math.sin(theta)
          : a * Math.cos(theta) + x[i - half]! * Math.sin(theta);
      });
    };
    const expectedQueries = new Float64Array(queries.length);
    const expectedKeys = keyBuffers.map((buffer) => new Float64Array(buffer.length));
    rows.forEach((row, index) => {
      if (index === 0) return;
      const [sequence, pos, copy] = row;
      const columns = [...source.subarray(index * stride, (index + 1) * stride)];
      const queryNorm = [...normWeights.subarray(0, weightSizes[0])];
      const keyNorm = [...normWeights.subarray(weightSizes[0])];
      for (let head = 0; head < heads && what !== "keys"; head++) {
        const values = finish(columns.slice(0, queryColumns), row, { norm: queryNorm, rotate }, head);
        expectedQueries.set(values, index * queryColumns + head * width);
      }
      const group = copy === 1 ? 0 : 1;
      if (what === "queries" || !groups.includes(group)) return;
      const key = group === 0 ? pos : pos * 2 + copy - 2;
      const slot = (key - bases[sequence]![group]!) % slots[group]!;
      for (let head = 0; head < kvHeads; head++) {
        const keyValues = finish(
          columns.slice(queryColumns, queryColumns + keyColumns),
          row,
          { norm: keyNorm, rotate },
          head,
        );
        const values = columns.slice(queryColumns + keyColumns).slice(head * width, (head + 1) * width);
        expectedKeys[group]!.set(keyValues, (sequence * slots[group]! + slot) * keyColumns + head * width);
        expectedKeys[group]!.set(values, ((batch + sequence) * slots[group]! + slot) * keyColumns + head * width);
      }
    });
    expect(largestDifference(queries, expectedQueries)).toBeLessThan(tolerance);
    // An f16 holds 11 bits: half a unit in the last place of values below 4.
    const storeTolerance = element === "f16" ? 2e-3 : tolerance;
    keyData.forEach((data, group) => {
      const actual = data instanceof Uint16Array ? Array.from(data, halfFromBits) : data;
      expect(largestDifference(actual, expectedKeys[group]!)).toBeLessThan(storeTolerance);
    });
  }

  for (const width of [2, 8, 24, 80]) {
    it(`rotates heads of ${width} by position and puts every key in its group's slot`, () =>
      check({ width, rotate: true }));
    it(`rotates heads of ${width} by copy as well`, () => check({ width, rotate: true, copyAngles: true }));
  }
  it("norms every head before it rotates", () => {
    for (const capabilities of [withoutSubgroups, withSubgroups])
      check({ width: 6, norm: "head", rotate: true, capabilities });
  });
  it("norms all heads of a row together", () => {
    for (const capabilities of [withoutSubgroups, withSubgroups])
      check({ width: 6, norm: "row", rotate: true, capabilities });
  });
  it("takes models without rotation, and odd heads", () => check({ width: 5, rotate: false }));
  it("stores keys as f16", () => check({ width: 8, rotate: true, element: "f16" }));
  it("stores nothing for a group that nobody reads", () => check({ width: 8, rotate: true, groups: [0] }));
  it("finishes queries alone", () => check({ width: 8, rotate: true, norm: "head", what: "queries" }));
  it("stores keys alone", () => check({ width: 8, rotate: true, norm: "row", what: "keys" }));
});

describe("a norm per head", () => {
  it("norms every head of a row by itself, with one weight for all of them", () => {
    const [heads, part] = [3, 10];
    const width = heads * part;
    const [x, weight, gain] = [randomFloats(1, 2 * width), randomFloats(2, part), randomFloats(3, part)];
    const output = new Float32Array(2 * width);
    const options = {
      ...{ width, heads, epsilon: 1e-5, weight: true, outputRows: "table" as const, capabilities: withoutSubgroups },
      epilogue: { kind: "binary", function: "multiply", left: element, right: operand("gain") },
      operands: [{ name: "gain", of: "column", period: part }],
    } as const;
    runKernel(norm(options), {
      buffers: { input: x, norm_weight: weight, gain, output },
      params: { row_base: 0, row_count: 2 },
      workgroups: [4, 2, 1],
    });
    const expected = Array.from({ length: 2 * heads }, (_, head) =>
      rmsNorm([...x.subarray(head * part, (head + 1) * part)], 1e-5, weight).map((value, i) => value * gain[i]!),
    ).flat();
    expect(largestDifference(output, expected)).toBeLessThan(tolerance);
  });
});

describe("rows that are packed for the logits", () => {
  it("stand at the front, whatever row of the table they come from", () => {
    const x = Float32Array.from([0, 0, 1, 2, 3, 4]);
    const output = new Float32Array(4);
    const operands = [{ name: "x", of: "element" }] as const;
    runKernel(map({ width: 2, expression: operand("x"), operands, outputRows: "packed" }), {
      buffers: { x, output },
      params: { row_base: 1, row_count: 2 },
      workgroups: [1, 1, 1],
    });
    expect([...output]).toEqual([1, 2, 3, 4]);
  });
});
