import type { Capabilities } from "../../src/ir/kernel/capabilities.js";
import { portableCapabilities } from "../../src/ir/kernel/capabilities.js";
import { halfFromBits, halfToBits } from "../../src/ir/kernel/half.js";
import type { ElementExpression } from "../../src/kernels/elementwise/element-expression.js";

export const withoutSubgroups: Capabilities = { ...portableCapabilities, f16: true };
export const withSubgroups: Capabilities = { ...withoutSubgroups, subgroups: { minSize: 4, maxSize: 32 } };

/** What a product does with its sums: nothing, adds them to its output, or gates the first with the second. */
export const plain: ElementExpression = { kind: "accumulator", index: 0 };
export const residual: ElementExpression = {
  kind: "binary",
  function: "add",
  left: plain,
  right: { kind: "operand", name: "output" },
};
export const swiglu: ElementExpression = {
  kind: "binary",
  function: "multiply",
  left: { kind: "unary", function: "silu", input: plain },
  right: { kind: "accumulator", index: 1 },
};

/** A small deterministic generator of values in [-1, 1). */
export function randomFloats(seed: number, length: number, scale = 1): Float32Array {
  let state = seed * 2654435761 + 1;
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return scale * ((state >>> 8) / 2 ** 23 - 1);
  });
}

export function toHalves(values: Float32Array): Uint16Array {
  return Uint16Array.from(values, halfToBits);
}

/** Values as an element type stores them, and what a kernel then reads. */
export function stored(
  values: Float32Array,
  element: "f32" | "f16",
): { data: Float32Array | Uint16Array; read: number[] } {
  if (element === "f32") return { data: values, read: [...values] };
  const data = toHalves(values);
  return { data, read: Array.from(data, halfFromBits) };
}

export function silu(x: number): number {
  return x / (1 + Math.exp(-x));
}

/** What a product leaves at a place that held `before`: see `plain`, `residual` and `swiglu`. */
export function finished(mode: "plain" | "residual" | "pair", first: number, second: number, before: number): number {
  if (mode === "pair") return silu(first) * second;
  return mode === "residual" ? first + before : first;
}

/** x / sqrt(mean(x²) + epsilon), times the weight. */
export function rmsNorm(x: readonly number[], epsilon: number, weight?: ArrayLike<number>): number[] {
  const scale = 1 / Math.sqrt(x.reduce((sum, value) => sum + value * value, 0) / x.length + epsilon);
  return x.map((value, index) => value * scale * (weight?.[index] ?? 1));
}

export function matrixRow(x: readonly number[], weight: ArrayLike<number>, row: number): number {
  return x.reduce((sum, value, index) => sum + value * weight[row * x.length + index]!, 0);
}

export function largestDifference(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let worst = 0;
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs(actual[i]! - expected[i]!);
    if (!(difference <= worst)) worst = difference;
  }
  return worst;
}
