/** Arithmetic of the device that JavaScript lacks, for the generated code of the interpreter. */
import { bfloatFromBits, halfFromBits } from "../../ir/kernel/half.js";

const word = new DataView(new ArrayBuffer(4));

/** Truncates toward zero and stays in range, as conversions on devices do. */
export function floatToI32(value: number): number {
  return Number.isNaN(value) ? 0 : Math.max(-2147483648, Math.min(2147483647, Math.trunc(value))) | 0;
}

export function floatToU32(value: number): number {
  return Number.isNaN(value) ? 0 : Math.max(0, Math.min(4294967295, Math.trunc(value))) >>> 0;
}

export function floatBits(value: number): number {
  word.setFloat32(0, value);
  return word.getUint32(0);
}

export function floatOfBits(bits: number): number {
  word.setUint32(0, bits >>> 0);
  return word.getFloat32(0);
}

let halves: Float32Array | undefined;
let bfloats: Float32Array | undefined;

/** The f16 value of every bit pattern. */
export function halfTable(): Float32Array {
  halves ??= Float32Array.from({ length: 65536 }, (_, bits) => halfFromBits(bits));
  return halves;
}

/** The bf16 value of every bit pattern. */
export function bfloatTable(): Float32Array {
  bfloats ??= Float32Array.from({ length: 65536 }, (_, bits) => bfloatFromBits(bits));
  return bfloats;
}
