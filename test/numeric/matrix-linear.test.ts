import { describe, expect, it } from "vitest";
import { cudaCapabilities } from "../../src/backends/cuda/capabilities.js";
import { AccessCounts, runKernel } from "../../src/interpret/kernel/run-kernel.js";
import { bfloatToBits, halfToBits, roundToBfloat, roundToHalf } from "../../src/ir/kernel/half.js";
import type { Kernel } from "../../src/ir/kernel/kernel.js";
import type { Operand } from "../../src/kernels/elementwise/element-expression.js";
import {
  type MatrixSkinnyOptions,
  matrixSkinnyColumns,
  matrixSkinnyLinear,
} from "../../src/kernels/linear/matrix-skinny.js";
import { matrixTiledLinear, matrixTileSize } from "../../src/kernels/linear/matrix-tiled.js";
import type { LinearOptions } from "../../src/kernels/linear/options.js";
import { fragmentLength, fragmentPlace } from "../../src/runtime/fragments.js";
import {
  largestDifference,
  matrixRow,
  plain,
  randomFloats,
  residual,
  rmsNorm,
  silu,
  swiglu,
} from "./linear-reference.js";

type Half = "bf16" | "f16";
const round = { bf16: roundToBfloat, f16: roundToHalf };
const bitsOf = { bf16: bfloatToBits, f16: halfToBits };

/**
 * Weights and inputs of the reference are rounded as the kernel rounds them, so only f32 sums differ: at most 300 products below 1. With a
 * norm the kernel rounds inputs before they are scaled, as the reference here does.
 */
const tolerance = 5e-5;

interface Case {
  readonly inputs: number;
  readonly outputs: number;
  readonly rows: number;
  readonly element?: Half;
  readonly norm?: boolean;
  readonly bias?: boolean;
  readonly mode?: "plain" | "residual" | "pair";
  readonly outputRows?: "table" | "packed";
  /** Columns to compute; all unless given. */
  readonly columns?: readonly [base: number, count: number];
}

const rowBase = 3;

function optionsOf(test: Case): LinearOptions {
  const { inputs, outputs, norm = false, bias = false, mode = "plain", element = "bf16", outputRows = "table" } = test;
  const operands: Operand[] = mode === "residual" ? [{ name: "output", of: "element" }] : [];
  return {
    ...{ inputs, outputs, element, bias, operands, outputRows },
    matrices: mode === "pair" ? 2 : 1,
    ...(norm && { norm: { epsilon: 1e-5, weight: true } }),
    epilogue: mode === "pair" ? swiglu : mode === "residual" ? residual : plain,
    capabilities: cudaCapabilities,
  };
}

/** Matrices [outputs, inputs] one after the other as `fragments`; each starts with a tile of its own. */
function packed(weights: Float32Array, { inputs, outputs, matrices, element }: LinearOptions): Uint32Array {
  const columns = fragmentLength(inputs);
  const halves = new Uint16Array(matrices * fragmentLength(outputs) * columns);
  weights.forEach((value, index) => {
    const [row, column] = [Math.floor(index / inputs), index % inputs];
    const packedRow = Math.floor(row / outputs) * fragmentLength(outputs) + (row % outputs);
    halves[fragmentPlace(packedRow, column, inputs)] = bitsOf[element as Half](value);
  });
  return new Uint32Array(halves.buffer);
}

/** Runs a kernel and the same in float64; compares every element, those outside the range included. */
function check(test: Case, kernel: Kernel, workgroups: (columns: number, base: number) => [number, number, number]) {
  const { inputs, outputs, rows, norm, bias, mode = "plain", element = "bf16" } = test;
  const options = optionsOf(test);
  const [columnBase, columnCount] = test.columns ?? [0, outputs];
  const { matrices } = options;
  const input = randomFloats(1, (rowBase + rows) * inputs);
  const weights = randomFloats(2, matrices * outputs * inputs);
  const normWeight = randomFloats(3, inputs);
  const biases = randomFloats(4, matrices * outputs);
  const before = randomFloats(5, (rowBase + rows) * outputs);
  const output = before.slice();
  const weight = packed(weights, options);
  const count = new AccessCounts();
  runKernel(kernel, {
    buffers: { input, weight, ...(norm && { norm_weight: normWeight }), ...(bias && { bias: biases }), output },
    params: {
      ...{ row_base: rowBase, row_count: rows, column_base: columnBase, column_count: columnCount },
      part_base: 0,
    },
    workgroups: workgroups(columnCount, columnBase),
    count,
    detectRaces: true,
  });

  const read = weights.map(round[element]);
  const expected = Float64Array.from(before);
  for (let row = 0; row < rows; row++) {
    const raw = [...input.subarray((rowBase + row) * inputs, (rowBase + row + 1) * inputs)];
    const scaled = norm ? raw.map((value, i) => Math.fround(value * normWeight[i]!)) : raw;
    const factor = norm ? rmsNorm(raw, 1e-5)[0]! / raw[0]! : 1;
    const x = scaled.map((value) => round[element](value) * factor);
    for (let column = columnBase; column < columnBase + columnCount; column++) {
      const [first, second] = Array.from({ length: matrices }, (_, matrix) => {
        const at = matrix * outputs + column;
        return matrixRow(x, read, at) + (bias ? biases[at]! : 0);
      });
      const place = (test.outputRows === "packed" ? row : rowBase + row) * outputs + column;
      expected[place] =
        mode === "pair" ? silu(first!) * second! : mode === "residual" ? first! + before[place]! : first!;
    }
  }
  expect(largestDifference(output, expected)).toBeLessThan(tolerance);
  return { count, weight };
}

function checkSkinny(test: Case, rows: MatrixSkinnyOptions["rows"]) {
  const options = { ...optionsOf(test), rows };
  const columns = matrixSkinnyColumns(options);
  return check(test, matrixSkinnyLinear(options), (count, base) => [
    Math.ceil(((base % 16) + count) / columns),
    Math.ceil(test.rows / rows),
    1,
  ]);
}

function checkTiled(test: Case, tile: "small" | "large") {
  const options = { ...optionsOf(test), tile };
  const { columns, rows } = matrixTileSize(options);
  return check(test, matrixTiledLinear(options), (count, base) => [
    Math.ceil(((base % 16) + count) / columns),
    Math.ceil(test.rows / rows),
    1,
  ]);
}

describe("a skinny product on matrix units", () => {
  it.each([8, 16, 32] as const)("multiplies up to %i rows of any width", (rows) => {
    for (const inputs of [1, 6, 16, 24, 67, 128, 300]) {
      for (const outputs of [1, 5, 32, 37]) checkSkinny({ inputs, outputs, rows: rows - 1 }, rows);
    }
  });

  it("fuses norm, bias, residual and gating", () => {
    for (const mode of ["plain", "residual", "pair"] as const) {
      for (const bias of [false, true]) {
        for (const rows of [8, 16] as const) {
          for (const inputs of [36, 35]) checkSkinny({ inputs, outputs: 21, rows, mode, norm: true, bias }, rows);
        }
      }
    }
  });

  it("takes f16 as it takes bf16", () => {
    for (const rows of [1, 3, 8]) checkSkinny({ inputs: 80, outputs: 33, rows, element: "f16", mode: "pair" }, 8);
  });

  it("takes several bands of outputs in a workgroup where there are many", () => {
    for (const rows of [3, 16]) {
      const test = { inputs: 20, outputs: 16 * 1100 + 5, rows, norm: true };
      expect(matrixSkinnyColumns({ ...optionsOf(test), rows: rows === 3 ? 8 : 16 })).toBeGreaterThan(16);
      checkSkinny(test, rows === 3 ? 8 : 16);
    }
  });

  it("reads every weight exactly once for up to 32 rows, odd sizes included", () => {
    for (const rows of [1, 8, 13, 32]) {
      for (const outputs of [1, 7, 40]) {
        for (const mode of ["plain", "pair"] as const) {
          const kernelRows = rows <= 8 ? 8 : rows <= 16 ? 16 : 32;
          const { count } = checkSkinny({ inputs: 150, outputs, rows, mode, norm: true }, kernelRows);
          expect(new Set(count.of("weight").loadsOfElement)).toEqual(new Set([1]));
        }
      }
    }
  });

  it("takes more rows than one block has", () => {
    checkSkinny({ inputs: 12, outputs: 5, rows: 37, mode: "residual" }, 16);
  });

  it("leaves columns outside its range alone, wherever in a tile that begins", () => {
    for (const columns of [
      [7, 9],
      [16, 16],
      [15, 20],
      [30, 31],
    ] as const) {
      checkSkinny({ inputs: 12, outputs: 61, rows: 3, bias: true, columns }, 8);
    }
  });

  it("packs the rows of a range to the front for the logits", () => {
    checkSkinny({ inputs: 12, outputs: 11, rows: 2, outputRows: "packed" }, 8);
  });
});

describe.each(["small", "large"] as const)("a product of %s tiles on matrix units", (tile) => {
  it("multiplies any number of rows and columns, tile edges or not", () => {
    for (const [rows, outputs] of [
      [1, 1],
      [17, 65],
      [64, 64],
      [65, 3],
      [130, 150],
    ] as const) {
      for (const inputs of [1, 6, 16, 32, 67, 128]) checkTiled({ inputs, outputs, rows }, tile);
    }
  });

  it("fuses norm, bias, residual and gating", () => {
    for (const mode of ["plain", "residual", "pair"] as const) {
      for (const bias of [false, true]) {
        for (const inputs of [96, 35]) checkTiled({ inputs, outputs: 70, rows: 66, mode, norm: true, bias }, tile);
      }
    }
  });

  it("takes f16 as it takes bf16", () => {
    checkTiled({ inputs: 80, outputs: 33, rows: 20, element: "f16", mode: "pair" }, tile);
  });

  it("leaves columns outside its range alone, wherever in a tile that begins", () => {
    for (const columns of [
      [7, 9],
      [16, 100],
      [15, 120],
    ] as const) {
      checkTiled({ inputs: 12, outputs: 151, rows: 3, bias: true, columns }, tile);
    }
  });

  it("brings every weight once for all rows of a tile", () => {
    const { count } = checkTiled({ inputs: 150, outputs: 128, rows: 60 }, tile);
    expect(new Set(count.of("weight").loadsOfElement)).toEqual(new Set([1]));
  });
});
