/** The two 16-bit float formats: rounding to nearest even, and bits both ways. Shared by the builder and the interpreter. */

const floatView = new Float32Array(1);
const bitView = new Uint32Array(floatView.buffer);

/** The nearest f16 value of an f32; infinite from 65520 on. */
export function roundToHalf(value: number): number {
  return halfFromBits(halfToBits(value));
}

export function halfToBits(value: number): number {
  floatView[0] = value;
  const bits = bitView[0]!;
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return 0x7e00;
  // From 2^16 on nothing rounds back below infinity.
  if (magnitude >= 0x47800000) return sign | 0x7c00;
  if (magnitude >= 0x38800000) {
    const even = (magnitude >>> 13) & 1;
    return sign | ((magnitude + 0xfff + even - 0x38000000) >>> 13);
  }
  // Below 2^-14 the step stays at 2^-24, which is the step of f32 just above a half: adding one rounds as wanted.
  bitView[0] = magnitude;
  floatView[0] = floatView[0]! + 0.5;
  return sign | (bitView[0]! - 0x3f000000);
}

export function halfFromBits(bits: number): number {
  const exponent = (bits >>> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return bits & 0x8000 ? -fraction * 2 ** -24 : fraction * 2 ** -24;
  const widened = exponent === 31 ? 255 : exponent + 112;
  bitView[0] = ((bits & 0x8000) << 16) | (widened << 23) | (fraction << 13);
  return floatView[0]!;
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
