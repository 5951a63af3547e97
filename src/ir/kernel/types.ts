/**
 * The types of kernel values, written as they appear in text: `f32`, `vec4<f32>`.
 *
 * A type is its name, so types compare with `===`. bf16 is a storage type: it is loaded, stored, converted and fed to matrix
 * fragments, and has no arithmetic. f16 arithmetic needs the `f16` capability.
 */
export type ScalarType = "f32" | "f16" | "bf16" | "i32" | "u32" | "bool";
export type VectorWidth = 2 | 4;
export type VectorType = `vec${VectorWidth}<${ScalarType}>`;
export type ValueType = ScalarType | VectorType;

/** Types that weights and key stores are kept in. */
export type FloatType = "f32" | "f16" | "bf16";

export const scalarTypes: readonly ScalarType[] = ["f32", "f16", "bf16", "i32", "u32", "bool"];

/** `vectorOf("f32", 1)` is `f32` itself, so that kernels can be written over a width that is a compile-time parameter. */
export function vectorOf(scalar: ScalarType, width: 1 | VectorWidth): ValueType {
  return width === 1 ? scalar : `vec${width}<${scalar}>`;
}

export function scalarOf(type: ValueType): ScalarType {
  return parts.get(type)!.scalar;
}

export function widthOf(type: ValueType): 1 | VectorWidth {
  return parts.get(type)!.width;
}

/** Types are taken apart for every node of every kernel, so each is taken apart once. */
const parts: ReadonlyMap<string, { readonly scalar: ScalarType; readonly width: 1 | VectorWidth }> = new Map(
  scalarTypes.flatMap((scalar) =>
    ([1, 2, 4] as const).map((width) => [vectorOf(scalar, width), { scalar, width }] as const),
  ),
);

export function isFloat(type: ValueType): boolean {
  const scalar = scalarOf(type);
  return scalar === "f32" || scalar === "f16";
}

export function isInteger(type: ValueType): boolean {
  const scalar = scalarOf(type);
  return scalar === "i32" || scalar === "u32";
}

export function isBool(type: ValueType): boolean {
  return scalarOf(type) === "bool";
}

/** Bytes of one value in a buffer or in workgroup memory. Booleans have no layout and stay in registers. */
export function bytesOf(type: ValueType): number {
  const scalar = scalarOf(type);
  const bytes = scalar === "f16" || scalar === "bf16" ? 2 : 4;
  return bytes * widthOf(type);
}

export function isValueType(text: string): text is ValueType {
  return parts.has(text);
}
