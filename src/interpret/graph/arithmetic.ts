/**
 * Float64 arithmetic on rows. Every sum runs in one fixed order, whatever rows are computed beside it, so the same row gives the same
 * bits alone and in a batch.
 */
import { unreachable } from "../../diagnostics/diagnostic.js";
import type { BinaryFunction, UnaryFunction } from "../../ir/graph/ops.js";

/** Rows of a row-major matrix: row r starts at offset + r · stride. */
export interface Rows {
  readonly data: Float64Array;
  readonly offset: number;
  readonly stride: number;
  readonly count: number;
}

/**
 * out[r][o] = Σ input[r][i] · weight[o][i] (+ bias[o]).
 *
 * Tiles of 2 rows × 4 outputs keep eight sums in flight; each sum is still a plain loop over i.
 */
export function multiply(
  input: Rows,
  weight: Float64Array,
  inner: number,
  outer: number,
  out: Rows,
  bias?: Float64Array,
): void {
  let r = 0;
  for (; r + 1 < input.count; r += 2) multiplyTwoRows(input, weight, inner, outer, out, r);
  for (; r < input.count; r++) multiplyRow(input, weight, inner, outer, out, r);
  if (bias === undefined) return;
  for (let row = 0; row < input.count; row++) {
    const at = out.offset + row * out.stride;
    for (let o = 0; o < outer; o++) out.data[at + o]! += bias[o]!;
  }
}

function multiplyTwoRows(input: Rows, weight: Float64Array, inner: number, outer: number, out: Rows, r: number): void {
  const a = input.data;
  const at0 = input.offset + r * input.stride;
  const at1 = at0 + input.stride;
  const to0 = out.offset + r * out.stride;
  const to1 = to0 + out.stride;
  let o = 0;
  for (; o + 3 < outer; o += 4) {
    const w = o * inner;
    let s00 = 0;
    let s01 = 0;
    let s02 = 0;
    let s03 = 0;
    let s10 = 0;
    let s11 = 0;
    let s12 = 0;
    let s13 = 0;
    for (let i = 0; i < inner; i++) {
      const x = a[at0 + i]!;
      const y = a[at1 + i]!;
      const w0 = weight[w + i]!;
      const w1 = weight[w + inner + i]!;
      const w2 = weight[w + 2 * inner + i]!;
      const w3 = weight[w + 3 * inner + i]!;
      s00 += x * w0;
      s01 += x * w1;
      s02 += x * w2;
      s03 += x * w3;
      s10 += y * w0;
      s11 += y * w1;
      s12 += y * w2;
      s13 += y * w3;
    }
    out.data[to0 + o] = s00;
    out.data[to0 + o + 1] = s01;
    out.data[to0 + o + 2] = s02;
    out.data[to0 + o + 3] = s03;
    out.data[to1 + o] = s10;
    out.data[to1 + o + 1] = s11;
    out.data[to1 + o + 2] = s12;
    out.data[to1 + o + 3] = s13;
  }
  for (; o < outer; o++) {
    out.data[to0 + o] = dot(a, at0, weight, o * inner, inner);
    out.data[to1 + o] = dot(a, at1, weight, o * inner, inner);
  }
}

function multiplyRow(input: Rows, weight: Float64Array, inner: number, outer: number, out: Rows, r: number): void {
  const a = input.data;
  const at = input.offset + r * input.stride;
  const to = out.offset + r * out.stride;
  let o = 0;
  for (; o + 3 < outer; o += 4) {
    const w = o * inner;
    let s0 = 0;
    let s1 = 0;
    let s2 = 0;
    let s3 = 0;
    for (let i = 0; i < inner; i++) {
      const x = a[at + i]!;
      s0 += x * weight[w + i]!;
      s1 += x * weight[w + inner + i]!;
      s2 += x * weight[w + 2 * inner + i]!;
      s3 += x * weight[w + 3 * inner + i]!;
    }
    out.data[to + o] = s0;
    out.data[to + o + 1] = s1;
    out.data[to + o + 2] = s2;
    out.data[to + o + 3] = s3;
  }
  for (; o < outer; o++) out.data[to + o] = dot(a, at, weight, o * inner, inner);
}

/** Σ a[atA + i] · b[atB + i]. */
export function dot(a: Float64Array, atA: number, b: Float64Array, atB: number, length: number): number {
  let sum = 0;
  for (let i = 0; i < length; i++) sum += a[atA + i]! * b[atB + i]!;
  return sum;
}

/** x / sqrt(mean(x²) + epsilon) · weight over `width` elements. */
export function rmsNorm(
  input: Float64Array,
  at: number,
  out: Float64Array,
  to: number,
  width: number,
  epsilon: number,
  weight?: Float64Array,
): void {
  const factor = 1 / Math.sqrt(dot(input, at, input, at, width) / width + epsilon);
  for (let i = 0; i < width; i++) out[to + i] = input[at + i]! * factor * (weight?.[i] ?? 1);
}

/** cos and sin of index · frequencies[i], pair by pair, times the amplitude. */
export function turnsOf(frequencies: readonly number[], index: number, amplitude: number): Float64Array {
  const turns = new Float64Array(2 * frequencies.length);
  for (const [i, frequency] of frequencies.entries()) {
    turns[2 * i] = Math.cos(index * frequency) * amplitude;
    turns[2 * i + 1] = Math.sin(index * frequency) * amplitude;
  }
  return turns;
}

/** Turns the pairs (i, i + width/2) of the head at `at` in place. */
export function rotate(data: Float64Array, at: number, turns: Float64Array): void {
  const half = turns.length / 2;
  for (let i = 0; i < half; i++) {
    const cos = turns[2 * i]!;
    const sin = turns[2 * i + 1]!;
    const first = data[at + i]!;
    const second = data[at + half + i]!;
    data[at + i] = first * cos - second * sin;
    data[at + half + i] = second * cos + first * sin;
  }
}

export function applyUnary(name: UnaryFunction, x: number): number {
  switch (name) {
    case "silu":
      return x / (1 + Math.exp(-x));
    case "gelu-tanh":
      return 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
    case "relu":
      return Math.max(x, 0);
    case "sigmoid":
      return 1 / (1 + Math.exp(-x));
    case "tanh":
      return Math.tanh(x);
    case "negate":
      return -x;
    default:
      return unreachable(name);
  }
}

export function applyBinary(name: BinaryFunction, x: number, y: number): number {
  switch (name) {
    case "add":
      return x + y;
    case "subtract":
      return x - y;
    case "multiply":
      return x * y;
    default:
      return unreachable(name);
  }
}
