/** The two 16-bit float formats: rounding to nearest even, and bits both ways. Shared by the builder and the interpreter. */

const floatView = new Float32Array(1);
const bitView = new Uint32Array(floatView.buffer);

/** The nearest f16 value; infinite from 65520 on. */
export function roundToHalf(value: number): number {
  const magnitude = Math.abs(value);
  if (!(magnitude < 65520)) return Number.isNaN(value) ? value : value < 0 ? -Infinity : Infinity;
  // Eleven significant bits; below 2^-14 the step stays at 2^-24.
  const exponent = magnitude < 2 ** -14 ? -14 : exponentOf(magnitude);
  const step = 2 ** (exponent - 10);
  return roundToEven(value / step) * step;
}

/** Division by a power of two is exact, so this rounds the true quotient. */
function roundToEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest === 0.5) return floor % 2 === 0 ? floor : floor + 1;
  return rest < 0.5 ? (floor === 0 && value < 0 ? -0 : floor) : floor + 1 === 0 && value < 0 ? -0 : floor + 1;
}

function exponentOf(magnitude: number): number {
  const exponent = Math.floor(Math.log2(magnitude));
  // log2 may round across a power of two.
  return 2 ** exponent > magnitude ? exponent - 1 : 2 ** (exponent + 1) <= magnitude ? exponent + 1 : exponent;
}

export function halfToBits(value: number): number {
  const half = roundToHalf(value);
  const sign = half < 0 || Object.is(half, -0) ? 0x8000 : 0;
  const magnitude = Math.abs(half);
  if (Number.isNaN(half)) return 0x7e00;
  if (magnitude === Infinity) return sign | 0x7c00;
  if (magnitude < 2 ** -14) return sign | (magnitude / 2 ** -24);
  const exponent = exponentOf(magnitude);
  return sign | ((exponent + 15) << 10) | (magnitude / 2 ** (exponent - 10) - 1024);
}

export function halfFromBits(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1024 + fraction) * 2 ** (exponent - 25);
}

/** The nearest bf16 value of an f32: its upper 16 bits, rounded to even. */
export function bfloatToBits(value: number): number {
  floatView[0] = value;
  const bits = bitView[0]!;
  if (Number.isNaN(value)) return (bits >>> 16) | 0x40;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

export function bfloatFromBits(bits: number): number {
  bitView[0] = bits << 16;
  return floatView[0]!;
}

export function roundToBfloat(value: number): number {
  return bfloatFromBits(bfloatToBits(value));
}
