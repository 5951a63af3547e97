/** Products with weights as small integers, against float64 with the weights that the integers stand for. */
import { describe, expect, it } from "vitest";
import { AccessCounts, runKernel } from "../../src/interpret/kernel/run-kernel.js";
import type { Capabilities } from "../../src/ir/kernel/capabilities.js";
import type { Kernel } from "../../src/ir/kernel/kernel.js";
import type { ElementExpression } from "../../src/kernels/elementwise/element-expression.js";
import type { LinearOptions } from "../../src/kernels/linear/options.js";
import { skinnyLinear } from "../../src/kernels/linear/skinny.js";
import { skinnyColumns, skinnyDivision } from "../../src/kernels/linear/skinny-options.js";
import { linearTile, tiledLinear } from "../../src/kernels/linear/tiled.js";
import { defaultTuning } from "../../src/kernels/tuning.js";
import type { Quantisation } from "../../src/runtime/manifest.js";
import { dequantiseRows, quantisedGroups, quantiseRows } from "../../src/runtime/quantise.js";
import { largestDifference, matrixRow, randomFloats, rmsNorm, silu, withoutSubgroups } from "./linear-reference.js";

// Sums of at most 600 products of values below 1, in f32; what the integers stand for is exact.
const tolerance = 5e-5;

const rowBase = 2;

interface Case {
  readonly inputs: number;
  readonly outputs: number;
  readonly rows: number;
  readonly quantised: Quantisation;
  readonly norm?: boolean;
  readonly pair?: boolean;
  /** Columns to compute; all unless given. */
  readonly columns?: readonly [base: number, count: number];
  /** First weight row that is bound. */
  readonly partBase?: number;
  readonly capabilities?: Capabilities;
  /** Workgroups that a product must keep to let groups share inputs. */
  readonly leastWorkgroups?: number;
}

const plain: ElementExpression = { kind: "accumulator", index: 0 };
const swiglu: ElementExpression = {
  kind: "binary",
  function: "multiply",
  left: { kind: "unary", function: "silu", input: plain },
  right: { kind: "accumulator", index: 1 },
};

function optionsOf(test: Case): LinearOptions {
  const { inputs, outputs, quantised, norm, pair, capabilities, leastWorkgroups } = test;
  return {
    ...{ inputs, outputs, quantised, element: "f32", bias: false, operands: [], outputRows: "table" },
    matrices: pair ? 2 : 1,
    ...(norm && { norm: { epsilon: 1e-5, weight: true } }),
    epilogue: pair ? swiglu : plain,
    capabilities: capabilities ?? withoutSubgroups,
    ...(leastWorkgroups !== undefined && { tuning: { ...defaultTuning, leastWorkgroups } }),
  };
}

function check(test: Case, kernel: Kernel, workgroups: readonly [number, number, number]): AccessCounts {
  const { inputs, outputs, rows, quantised, norm, pair, partBase = 0 } = test;
  const matrices = pair ? 2 : 1;
  const [columnBase, columnCount] = test.columns ?? [0, outputs];
  const input = randomFloats(1, (rowBase + rows) * inputs);
  const stored = quantiseRows(randomFloats(2, matrices * outputs * inputs), inputs, quantised);
  const weights = dequantiseRows(stored, inputs, quantised);
  const normWeight = randomFloats(3, inputs);
  const output = randomFloats(5, (rowBase + rows) * outputs);
  const expected = Float64Array.from(output);
  const words = stored.values.length / (matrices * outputs);
  const count = new AccessCounts();
  runKernel(kernel, {
    buffers: {
      ...{ input, output, ...(norm && { norm_weight: normWeight }) },
      weight: stored.values.slice(partBase * words),
      weight_scales: scaleWords(stored.scales),
    },
    params: {
      ...{ row_base: rowBase, row_count: rows, column_base: columnBase, column_count: columnCount },
      part_base: partBase,
    },
    workgroups: [...workgroups],
    count,
    detectRaces: true,
  });

  for (let row = 0; row < rows; row++) {
    const raw = [...input.subarray((rowBase + row) * inputs, (rowBase + row + 1) * inputs)];
    const x = norm ? rmsNorm(raw, 1e-5, normWeight) : raw;
    for (let column = columnBase; column < columnBase + columnCount; column++) {
      const first = matrixRow(x, weights, column);
      expected[(rowBase + row) * outputs + column] = pair
        ? silu(first) * matrixRow(x, weights, outputs + column)
        : first;
    }
  }
  expect(largestDifference(output, expected)).toBeLessThan(tolerance);
  return count;
}

/** Scales as a buffer holds them: two to a word. */
function scaleWords(scales: Uint16Array): Uint32Array {
  const padded = new Uint16Array(2 * Math.ceil(scales.length / 2));
  padded.set(scales);
  return new Uint32Array(padded.buffer);
}

function checkSkinny(test: Case, rows: 1 | 2 | 4 | 8 | 16): AccessCounts {
  const plainOptions = optionsOf(test);
  const columns = skinnyColumns(plainOptions);
  const [, count] = test.columns ?? [0, test.outputs];
  const wholeBlocks = [test.outputs, ...(test.columns ?? [])].every((edge) => edge % columns === 0);
  const options = { ...plainOptions, rows, wholeBlocks };
  const workgroups = Math.ceil(count / skinnyDivision(options).columns);
  return check(test, skinnyLinear(options), [workgroups, Math.ceil(test.rows / rows), 1]);
}

function checkTiled(test: Case): AccessCounts {
  const [, count] = test.columns ?? [0, test.outputs];
  const options = optionsOf(test);
  const { rows, columns } = linearTile(options)!;
  return check(test, tiledLinear(options), [Math.ceil(count / columns), Math.ceil(test.rows / rows), 1]);
}

const widths = [1, 6, 37, 64, 100, 172] as const;

describe.each([4, 8] as const)("a product with weights of %i bits", (bits) => {
  it.each([1, 2, 4, 8, 16] as const)("multiplies %i rows of any width, in groups of any size", (rows) => {
    for (const inputs of widths) {
      for (const group of quantisedGroups) {
        checkSkinny({ inputs, outputs: 5, rows, quantised: { bits, group }, norm: true }, rows);
      }
    }
  });

  it("loads one, two or four words at a time where rows are long and few", () => {
    for (const inputs of [512, 520, 600]) {
      for (const rows of [1, 2, 4] as const)
        checkSkinny({ inputs, outputs: 3, rows, quantised: { bits, group: 32 } }, rows);
    }
  });

  it("gates, and leaves columns outside its range alone", () => {
    const quantised = { bits, group: 32 } as const;
    for (const rows of [1, 4] as const) {
      checkSkinny({ inputs: 48, outputs: 8, rows, quantised, pair: true, norm: true }, rows);
      checkSkinny({ inputs: 37, outputs: 21, rows, quantised, columns: [7, 9], partBase: 5 }, rows);
    }
    checkTiled({ inputs: 48, outputs: 70, rows: 20, quantised, pair: true, norm: true });
    checkTiled({ inputs: 37, outputs: 90, rows: 3, quantised, columns: [7, 70], partBase: 5 });
  });

  it("multiplies many rows in tiles, of any width", () => {
    for (const inputs of widths) {
      for (const group of [16, 128] as const) checkTiled({ inputs, outputs: 67, rows: 17, quantised: { bits, group } });
    }
  });

  it("loads every word of weights exactly once for up to 16 rows", () => {
    for (const rows of [1, 3, 8, 16]) {
      const kernelRows = ([1, 2, 4, 8, 16] as const).find((most) => most >= rows)!;
      for (const inputs of [100, 512]) {
        const count = checkSkinny({ inputs, outputs: 7, rows, quantised: { bits, group: 32 } }, kernelRows);
        expect(new Set(count.of("weight").loadsOfElement)).toEqual(new Set([1]));
      }
    }
  });

  it.each([8, 16] as const)("multiplies %i rows in groups that share their inputs", (rows) => {
    const quantised = { bits, group: 32 } as const;
    for (const inputs of [64, 100, 172, 520]) {
      for (const leastWorkgroups of [1, 2, 4]) {
        const test = { inputs, outputs: 37, rows, quantised, leastWorkgroups };
        const count = checkSkinny({ ...test, norm: inputs < 500 }, rows);
        expect(new Set(count.of("weight").loadsOfElement)).toEqual(new Set([1]));
      }
    }
    checkSkinny({ inputs: 48, outputs: 40, rows, quantised, pair: true, norm: true, leastWorkgroups: 1 }, rows);
    checkSkinny({ inputs: 64, outputs: 53, rows, quantised, columns: [7, 39], partBase: 5, leastWorkgroups: 1 }, rows);
  });

  it("unpacks weights as often for 16 rows as for 8", () => {
    const unpackings = (rows: 8 | 16) => {
      const options = optionsOf({ inputs: 512, outputs: 16, rows, quantised: { bits, group: 32 } });
      const { body } = skinnyLinear({ ...options, rows, wholeBlocks: true });
      return JSON.stringify(body).match(/"bit-and"/g)!.length;
    };
    expect(unpackings(16)).toBe(unpackings(8));
  });
});
