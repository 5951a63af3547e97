/**
 * Weights as small integers: a matrix in groups of neighbouring inputs, each with one scale.
 *
 *   weight ≈ scale · q,   q a whole number from -2^(bits - 1) to 2^(bits - 1) - 1
 *
 * Values are stored without a sign, as q + 2^(bits - 1), in words of 32 bits: the first of a word in its lowest bits, 8 of 4 bits or 4 of
 * 8. A row starts with a word of its own, and what is left of its last word stands for zeros. The last group of a row may be
 * shorter. Scales are bfloat16: a product of one with q is exact in f32, a shift unpacks it, and no weight is too small for it, as it is
 * for a half (2^-14 where a group's largest weight is 0.008). Rounding the scale costs nothing, as q is chosen for the rounded one.
 */
import { f32ToBf16 } from "./dtype.js";
import type { Quantisation } from "./manifest.js";

export const quantisedGroups = [16, 32, 64, 128] as const;

export interface QuantisedRows {
  readonly values: Uint32Array<ArrayBuffer>;
  /** Bits of bfloat16. */
  readonly scales: Uint16Array<ArrayBuffer>;
}

/** Words that the values of a row take. */
export function wordsOfRow(columns: number, bits: Quantisation["bits"]): number {
  return Math.ceil((columns * bits) / 32);
}

/** Scales of a row. */
export function scalesOfRow(columns: number, group: number): number {
  return Math.ceil(columns / group);
}

/** Quantises whole rows of a matrix. A group with a weight that is no finite number becomes NaN, as its products would. */
export function quantiseRows(floats: Float32Array, columns: number, { bits, group }: Quantisation): QuantisedRows {
  const rows = floats.length / columns;
  const words = wordsOfRow(columns, bits);
  const groups = scalesOfRow(columns, group);
  const values = new Uint32Array(rows * words);
  const scales = new Uint16Array(rows * groups);
  const perWord = 32 / bits;
  const middle = 2 ** (bits - 1);
  for (let row = 0; row < rows; row++) {
    const start = row * columns;
    for (let index = 0; index < groups; index++) {
      const from = start + index * group;
      const scale = scaleOf(floats, from, Math.min(from + group, start + columns), middle);
      scales[row * groups + index] = toBits(scale);
      const inverse = inverseOf(scale);
      const end = Math.min((index + 1) * group, columns);
      for (let column = index * group; column < end; column += perWord) {
        let word = 0;
        for (let i = 0; i < perWord; i++) {
          const weight = column + i < end ? floats[start + column + i]! : 0;
          word |= (nearest(weight * inverse, middle) + middle) << (bits * i);
        }
        values[row * words + column / perWord] = word;
      }
    }
  }
  return { values, scales };
}

/** The weights that kernels compute with, exactly. */
export function dequantiseRows(
  { values, scales }: QuantisedRows,
  columns: number,
  { bits, group }: Quantisation,
): Float32Array<ArrayBuffer> {
  const words = wordsOfRow(columns, bits);
  const groups = scalesOfRow(columns, group);
  const rows = values.length / words;
  const floats = new Float32Array(rows * columns);
  const perWord = 32 / bits;
  const mask = 2 ** bits - 1;
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const word = values[row * words + Math.floor(column / perWord)]!;
      const q = ((word >>> (bits * (column % perWord))) & mask) - 2 ** (bits - 1);
      floats[row * columns + column] = q * fromBits(scales[row * groups + Math.floor(column / group)]!);
    }
  }
  return floats;
}

/** What kernels compute with where a matrix is `floats`. */
export function asQuantised(floats: Float32Array, columns: number, how: Quantisation): Float32Array<ArrayBuffer> {
  return dequantiseRows(quantiseRows(floats, columns, how), columns, how);
}

/**
 * Shares of the range that the search for a scale tries. Clipping the largest weights of a group a little may serve the others more;
 * below three quarters it never does for groups of these sizes.
 */
const shares = [1, 0.93, 0.86, 0.79] as const;

/**
 * The scale of a group: of a few that were tried the one with the least squared error.
 *
 * There is one more whole number below zero than above it. A scale with the sign opposite to the largest weight's gives that one to it,
 * so both signs are tried. With 8 bits steps are so small that none of this shows, and the first scale is taken.
 */
function scaleOf(floats: Float32Array, from: number, to: number, middle: number): number {
  let largest = 0;
  for (let i = from; i < to; i++) {
    const weight = floats[i]!;
    if (!Number.isFinite(weight)) return Number.NaN;
    if (Math.abs(weight) > Math.abs(largest)) largest = weight;
  }
  const plain = round(Math.abs(largest) / (middle - 1));
  if (plain === 0 || middle > 8) return plain;
  let best = plain;
  let least = Number.POSITIVE_INFINITY;
  for (const share of shares) {
    for (const candidate of [round((Math.abs(largest) * share) / (middle - 1)), round((-largest * share) / middle)]) {
      const error = squaredError(floats, from, to, candidate, middle, least);
      if (error >= least) continue;
      least = error;
      best = candidate;
    }
  }
  return best;
}

/** The sum of squared differences over a group, or something not below `enough`. */
function squaredError(
  floats: Float32Array,
  from: number,
  to: number,
  scale: number,
  middle: number,
  enough: number,
): number {
  const inverse = inverseOf(scale);
  let error = 0;
  for (let i = from; i < to; i++) {
    const weight = floats[i]!;
    const difference = nearest(weight * inverse, middle) * scale - weight;
    error += difference * difference;
    if (error >= enough) break;
  }
  return error;
}

/** The nearest whole number in range; that of NaN is somewhere in it. Values lie above -256, which makes truncation do. */
function nearest(value: number, middle: number): number {
  const whole = ((value + 256.5) | 0) - 256;
  return whole < -middle ? -middle : whole >= middle ? middle - 1 : whole;
}

/** Nothing is divided by zero: a group of zeros has the scale 0. */
const inverseOf = (scale: number) => (scale === 0 ? 0 : 1 / scale);

const scratch = new Float32Array(1);
const scratchBits = new Uint32Array(scratch.buffer);

function toBits(scale: number): number {
  scratch[0] = scale;
  return f32ToBf16(scratch)[0]!;
}

function fromBits(bits: number): number {
  scratchBits[0] = bits << 16;
  return scratch[0]!;
}

/** To the nearest bfloat16. */
const round = (scale: number) => fromBits(toBits(scale));
