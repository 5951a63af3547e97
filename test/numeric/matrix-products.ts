/** Runs products on matrix units with the kernel interpreter and compares them with float64. */
import { expect } from "vitest";
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
import { bytesOf } from "../../src/runtime/dtype.js";
import { fragmentLength, fragmentRowBytes, scatterFragments } from "../../src/runtime/fragments.js";
import type { Quantisation, WeightInfo } from "../../src/runtime/manifest.js";
import { dequantiseRows, quantiseRows } from "../../src/runtime/quantise.js";
import {
  finished,
  largestDifference,
  matrixRow,
  plain,
  randomFloats,
  residual,
  rmsNorm,
  swiglu,
} from "./linear-reference.js";

type Half = "bf16" | "f16";
const round = { bf16: roundToBfloat, f16: roundToHalf };
const bitsOf = { bf16: bfloatToBits, f16: halfToBits };

/**
 * Weights and inputs of the reference are rounded as the kernel rounds them, so only f32 sums differ: at most 300 products below 1. With a
 * norm the kernel rounds inputs before they are scaled, as the reference here does. What small integers stand for is not rounded.
 */
const tolerance = 5e-5;

export interface ProductCase {
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
  /** Weights are small integers; floats of type `element` unless given. */
  readonly quantised?: Quantisation;
  /** First weight row that is bound. */
  readonly partBase?: number;
}

const rowBase = 3;

export function optionsOf(test: ProductCase): LinearOptions {
  const {
    quantised,
    inputs,
    outputs,
    norm = false,
    bias = false,
    mode = "plain",
    element = "bf16",
    outputRows = "table",
  } = test;
  const operands: Operand[] = mode === "residual" ? [{ name: "output", of: "element" }] : [];
  return {
    ...{ inputs, outputs, element, bias, operands, outputRows },
    ...(quantised && { quantised }),
    matrices: mode === "pair" ? 2 : 1,
    ...(norm && { norm: { epsilon: 1e-5, weight: true } }),
    epilogue: mode === "pair" ? swiglu : mode === "residual" ? residual : plain,
    capabilities: cudaCapabilities,
  };
}

/** What a kernel is given of matrices [outputs, inputs], one after the other, and what it multiplies with. */
function storedWeights(
  test: ProductCase,
  weights: Float32Array,
): { readonly read: Float32Array; readonly buffers: Readonly<Record<string, Uint32Array>> } {
  const { inputs, outputs, quantised, element = "bf16" } = test;
  const packed = (rows: ArrayBufferView, part?: NonNullable<WeightInfo["quantised"]>["part"]) => {
    const info = { columns: inputs, ...(quantised && part && { quantised: { ...quantised, part } }) };
    const bytes = bytesOf(rows);
    const rowBytes = (bytes.byteLength / weights.length) * inputs;
    // Each matrix starts with a tile of its own.
    const ofMatrix = fragmentLength(outputs) * fragmentRowBytes(info);
    const matrices = weights.length / inputs / outputs;
    const buffer = new Uint8Array(matrices * ofMatrix);
    for (let matrix = 0; matrix < matrices; matrix++) {
      const own = bytes.subarray(matrix * outputs * rowBytes, (matrix + 1) * outputs * rowBytes);
      scatterFragments(info, buffer.subarray(matrix * ofMatrix, (matrix + 1) * ofMatrix), own, 0);
    }
    const skipped = part === "scales" ? 0 : (test.partBase ?? 0) * fragmentRowBytes(info);
    return new Uint32Array(buffer.slice(skipped).buffer);
  };
  if (quantised === undefined) {
    return {
      read: weights.map(round[element]),
      buffers: { weight: packed(Uint16Array.from(weights, bitsOf[element])) },
    };
  }
  const stored = quantiseRows(weights, inputs, quantised);
  return {
    read: dequantiseRows(stored, inputs, quantised),
    buffers: { weight: packed(stored.values, "values"), weight_scales: packed(stored.scales, "scales") },
  };
}

/** Runs a kernel and the same in float64; compares every element, those outside the range included. */
function check(
  test: ProductCase,
  kernel: Kernel,
  workgroups: (columns: number, base: number) => [number, number, number],
) {
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
  const stored = storedWeights(test, weights);
  const count = new AccessCounts();
  runKernel(kernel, {
    buffers: {
      input,
      ...stored.buffers,
      ...(norm && { norm_weight: normWeight }),
      ...(bias && { bias: biases }),
      output,
    },
    params: {
      ...{ row_base: rowBase, row_count: rows, column_base: columnBase, column_count: columnCount },
      part_base: test.partBase ?? 0,
    },
    workgroups: workgroups(columnCount, columnBase),
    count,
    detectRaces: true,
  });

  const expected = Float64Array.from(before);
  for (let row = 0; row < rows; row++) {
    const raw = [...input.subarray((rowBase + row) * inputs, (rowBase + row + 1) * inputs)];
    const scaled = norm ? raw.map((value, i) => Math.fround(value * normWeight[i]!)) : raw;
    const factor = norm ? rmsNorm(raw, 1e-5)[0]! / raw[0]! : 1;
    const x = scaled.map((value) => round[element](value) * factor);
    for (let column = columnBase; column < columnBase + columnCount; column++) {
      const [first, second] = Array.from({ length: matrices }, (_, matrix) => {
        const at = matrix * outputs + column;
        return matrixRow(x, stored.read, at) + (bias ? biases[at]! : 0);
      });
      const place = (test.outputRows === "packed" ? row : rowBase + row) * outputs + column;
      expected[place] = finished(mode, first!, second!, before[place]!);
    }
  }
  expect(largestDifference(output, expected)).toBeLessThan(tolerance);
  return { count };
}

export function checkSkinny(test: ProductCase, rows: MatrixSkinnyOptions["rows"]) {
  const options = { ...optionsOf(test), rows };
  const columns = matrixSkinnyColumns(options);
  return check(test, matrixSkinnyLinear(options), (count, base) => [
    Math.ceil(((base % 16) + count) / columns),
    Math.ceil(test.rows / rows),
    1,
  ]);
}

export function checkTiled(test: ProductCase, tile: "small" | "large") {
  const options = { ...optionsOf(test), tile };
  const { columns, rows } = matrixTileSize(options);
  return check(test, matrixTiledLinear(options), (count, base) => [
    Math.ceil(((base % 16) + count) / columns),
    Math.ceil(test.rows / rows),
    1,
  ]);
}
