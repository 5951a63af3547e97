/**
 * Element types of stored tensors and exact conversions between them.
 *
 * Conversions to a narrower type round to the nearest value, ties to even; what is too large becomes infinity, subnormal results are
 * kept, and a NaN stays one. Stored bytes are little-endian, as safetensors fixes; so is every platform that WebGPU runs on.
 */

/** Bytes per element of every type a checkpoint may hold, by its safetensors name. */
export const dtypeBytes = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  F8_E4M3: 1,
  F8_E5M2: 1,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U64: 8,
  U32: 4,
  U16: 2,
  U8: 1,
  BOOL: 1,
} as const;

export type Dtype = keyof typeof dtypeBytes;

export function isDtype(name: string): name is Dtype {
  return Object.hasOwn(dtypeBytes, name);
}

/** The types weights may be stored in. */
export type FloatDtype = "F64" | "F32" | "F16" | "BF16";

export function isFloatDtype(dtype: Dtype): dtype is FloatDtype {
  return dtype === "F64" || dtype === "F32" || dtype === "F16" || dtype === "BF16";
}

const scratchFloat = new Float32Array(1);
const scratchBits = new Uint32Array(scratchFloat.buffer);

/** Bits of the half nearest to the float with the bits `bits`. */
function f16BitsOf(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00 | ((magnitude >>> 13) & 0x1ff);
  // 65520 lies midway between the largest half and the next power of two; the tie goes to the even side, infinity.
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  if (magnitude >= 0x38800000) return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
  const exponent = magnitude >>> 23;
  // Below 2^-25, half of the smallest subnormal, everything is zero.
  if (exponent < 102) return sign;
  const mantissa = (magnitude & 0x7fffff) | 0x800000;
  const shift = 126 - exponent;
  const kept = mantissa >>> shift;
  const dropped = mantissa & ((1 << shift) - 1);
  const midway = 1 << (shift - 1);
  const up = dropped > midway || (dropped === midway && (kept & 1) === 1) ? 1 : 0;
  return sign | (kept + up);
}

/** Bits of the bfloat16 nearest to the float with the bits `bits`. */
function bf16BitsOf(bits: number): number {
  // Quiet, so that a NaN whose payload sits in the dropped half does not turn into infinity.
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 0x40;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

function floatOfF16Bits(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >>> 10) & 0x1f;
  const mantissa = half & 0x3ff;
  if (exponent === 0) return sign * mantissa * 2 ** -24;
  if (exponent === 31) return mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (mantissa + 0x400) * 2 ** (exponent - 25);
}

let halfTable: Float32Array | undefined;

/** The value of every half, by its bits: 256 KiB, made once, and faster than arithmetic for whole tensors. */
function halfValues(): Float32Array {
  if (halfTable === undefined) {
    halfTable = new Float32Array(0x10000);
    for (let half = 0; half < 0x10000; half++) halfTable[half] = floatOfF16Bits(half);
  }
  return halfTable;
}

/** The half nearest to `value`, as a number. */
export function roundToF16(value: number): number {
  scratchFloat[0] = value;
  return halfValues()[f16BitsOf(scratchBits[0]!)]!;
}

export function f16ToF32(halves: Uint16Array): Float32Array<ArrayBuffer> {
  const table = halfValues();
  const floats = new Float32Array(halves.length);
  for (let i = 0; i < halves.length; i++) floats[i] = table[halves[i]!]!;
  return floats;
}

export function bf16ToF32(values: Uint16Array): Float32Array<ArrayBuffer> {
  const bits = new Uint32Array(values.length);
  for (let i = 0; i < values.length; i++) bits[i] = values[i]! << 16;
  return new Float32Array(bits.buffer);
}

export function f32ToF16(floats: Float32Array): Uint16Array<ArrayBuffer> {
  const bits = new Uint32Array(floats.buffer, floats.byteOffset, floats.length);
  const halves = new Uint16Array(floats.length);
  for (let i = 0; i < bits.length; i++) halves[i] = f16BitsOf(bits[i]!);
  return halves;
}

export function f32ToBf16(floats: Float32Array): Uint16Array<ArrayBuffer> {
  const bits = new Uint32Array(floats.buffer, floats.byteOffset, floats.length);
  const values = new Uint16Array(floats.length);
  for (let i = 0; i < bits.length; i++) values[i] = bf16BitsOf(bits[i]!);
  return values;
}

/** The same bytes at an address that typed arrays of `alignment` bytes accept; copies only when it must. */
function aligned(bytes: Uint8Array, alignment: number): Uint8Array {
  return bytes.byteOffset % alignment === 0 ? bytes : bytes.slice();
}

/** Stored elements as 32-bit floats. Float64 values round to the nearest float. May share memory with `bytes`. */
export function toF32(bytes: Uint8Array, dtype: FloatDtype): Float32Array {
  const at = aligned(bytes, dtypeBytes[dtype]);
  const count = at.byteLength / dtypeBytes[dtype];
  switch (dtype) {
    case "F64":
      return Float32Array.from(new Float64Array(at.buffer, at.byteOffset, count));
    case "F32":
      return new Float32Array(at.buffer, at.byteOffset, count);
    case "F16":
      return f16ToF32(new Uint16Array(at.buffer, at.byteOffset, count));
    case "BF16":
      return bf16ToF32(new Uint16Array(at.buffer, at.byteOffset, count));
  }
}

/**
 * Stored floats in another stored type, as bytes. Nothing is rounded twice except F64, which passes through float.
 * May share memory with `bytes` when the types are equal.
 */
export function convertFloats(bytes: Uint8Array, from: FloatDtype, to: FloatDtype): Uint8Array {
  if (from === to) return bytes;
  const floats = toF32(bytes, from);
  switch (to) {
    case "F64":
      return bytesOf(Float64Array.from(floats));
    case "F32":
      return bytesOf(floats);
    case "F16":
      return bytesOf(f32ToF16(floats));
    case "BF16":
      return bytesOf(f32ToBf16(floats));
  }
}

/** The memory of a typed array as bytes, not copied. */
export function bytesOf(values: ArrayBufferView): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

/** Stored integers (and booleans as 0 and 1) as numbers; 64-bit values beyond 2^53 lose their low bits. */
export function toIntegers(bytes: Uint8Array, dtype: Exclude<Dtype, FloatDtype | "F8_E4M3" | "F8_E5M2">): number[] {
  const at = aligned(bytes, dtypeBytes[dtype]);
  const count = at.byteLength / dtypeBytes[dtype];
  switch (dtype) {
    case "I64":
      return Array.from(new BigInt64Array(at.buffer, at.byteOffset, count), Number);
    case "U64":
      return Array.from(new BigUint64Array(at.buffer, at.byteOffset, count), Number);
    case "I32":
      return Array.from(new Int32Array(at.buffer, at.byteOffset, count));
    case "U32":
      return Array.from(new Uint32Array(at.buffer, at.byteOffset, count));
    case "I16":
      return Array.from(new Int16Array(at.buffer, at.byteOffset, count));
    case "U16":
      return Array.from(new Uint16Array(at.buffer, at.byteOffset, count));
    case "I8":
      return Array.from(new Int8Array(at.buffer, at.byteOffset, count));
    case "U8":
    case "BOOL":
      return Array.from(at);
  }
}
