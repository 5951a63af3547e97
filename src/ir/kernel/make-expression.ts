/**
 * Makes expression nodes and gives each its type.
 *
 * The builder and the parser both come through here, so the typing rules stand once. A rule that does not hold throws
 * `InternalError`: kernels are written by us, and a badly typed one is a bug of the compiler.
 */
import { InternalError } from "../../diagnostics/diagnostic.js";
import type {
  AddHalves,
  Binary,
  BinaryOp,
  Bitcast,
  Builtin,
  BuiltinName,
  Clamp,
  Constant,
  Convert,
  Dot,
  Expression,
  Extract,
  Fma,
  HalfFormat,
  Load,
  Local,
  Pack,
  Param,
  Select,
  Space,
  Unary,
  UnaryOp,
  Unpack,
  Vector,
} from "./expressions.js";
import { roundToHalf } from "./half.js";
import {
  isBool,
  isFloat,
  isInteger,
  type ScalarType,
  scalarOf,
  type ValueType,
  type VectorWidth,
  vectorOf,
  widthOf,
} from "./types.js";

/** A scalar constant; floats are rounded to their type here, so text and interpreter agree on the value. */
export function constant(type: ScalarType, value: number): Constant {
  const stored = storedConstant(type, value);
  ensure(Number.isFinite(stored), () => `${value} is not a finite ${type}`);
  return { kind: "constant", type, value: stored };
}

function storedConstant(type: ScalarType, value: number): number {
  switch (type) {
    case "f32":
      return Math.fround(value);
    case "f16":
      return roundToHalf(value);
    case "bf16":
      throw new InternalError("bf16 has no constants: convert an f32");
    case "bool":
      return value !== 0 ? 1 : 0;
    case "i32":
      ensure(value === (value | 0), () => `${value} is no i32`);
      return value | 0;
    case "u32":
      ensure(value === value >>> 0, () => `${value} is no u32`);
      return value;
  }
}

export const local = (name: string, type: ValueType): Local => ({ kind: "local", type, name });
export const param = (name: string, type: ScalarType): Param => ({ kind: "param", type, name });
export const builtin = (name: BuiltinName): Builtin => ({ kind: "builtin", type: "u32", name });

export function load(space: Space, name: string, type: ValueType, index: Expression): Load {
  checkIndex(index);
  return { kind: "load", type, space, name, index };
}

/** Indices are single integers. */
export function checkIndex(index: Expression): void {
  ensure(index.type === "u32" || index.type === "i32", () => `an index is u32 or i32, not ${index.type}`);
}

export function unary(op: UnaryOp, operand: Expression): Unary {
  const { type } = operand;
  const legal =
    op === "not"
      ? isBool(type)
      : op === "bit-not"
        ? isInteger(type)
        : op === "neg" || op === "abs"
          ? isFloat(type) || scalarOf(type) === "i32"
          : isFloat(type);
  ensure(legal, () => `${op} of ${type}`);
  return { kind: "unary", type, op, operand };
}

export function binary(op: BinaryOp, left: Expression, right: Expression): Binary {
  return { kind: "binary", type: binaryType(op, left.type, right.type), op, left, right };
}

function binaryType(op: BinaryOp, left: ValueType, right: ValueType): ValueType {
  const complaint = () => `${op} of ${left} and ${right}`;
  if (op === "shl" || op === "shr") {
    ensure(isInteger(left) && scalarOf(right) === "u32" && widthOf(left) === widthOf(right), complaint);
    return left;
  }
  ensure(left === right, complaint);
  switch (op) {
    case "add":
    case "sub":
    case "mul":
    case "div":
    case "rem":
    case "min":
    case "max":
      ensure(isFloat(left) || isInteger(left), complaint);
      return left;
    case "lt":
    case "le":
    case "gt":
    case "ge":
      ensure(isFloat(left) || isInteger(left), complaint);
      return vectorOf("bool", widthOf(left));
    case "eq":
    case "ne":
      ensure(scalarOf(left) !== "bf16", complaint);
      return vectorOf("bool", widthOf(left));
    case "bit-and":
    case "bit-or":
    case "bit-xor":
      ensure(isInteger(left), complaint);
      return left;
    case "and":
    case "or":
      ensure(left === "bool", complaint);
      return "bool";
  }
}

export function clamp(value: Expression, low: Expression, high: Expression): Clamp {
  ensure(
    low.type === value.type && high.type === value.type,
    () => `clamp of ${value.type}, ${low.type}, ${high.type}`,
  );
  ensure(isFloat(value.type) || isInteger(value.type), () => `clamp of ${value.type}`);
  return { kind: "clamp", type: value.type, value, low, high };
}

export function fma(a: Expression, b: Expression, c: Expression): Fma {
  ensure(isFloat(a.type) && b.type === a.type && c.type === a.type, () => `fma of ${a.type}, ${b.type}, ${c.type}`);
  return { kind: "fma", type: a.type, a, b, c };
}

export function select(condition: Expression, yes: Expression, no: Expression): Select {
  ensure(yes.type === no.type, () => `select between ${yes.type} and ${no.type}`);
  const each = vectorOf("bool", widthOf(yes.type));
  ensure(condition.type === "bool" || condition.type === each, () => `select by ${condition.type} of ${yes.type}`);
  return { kind: "select", type: yes.type, condition, yes, no };
}

/** Changes the scalar type and keeps the width. */
export function convert(value: Expression, scalar: ScalarType): Convert {
  ensure(
    scalar !== "bool" && !isBool(value.type),
    () => `convert ${value.type} to ${scalar}: use select or a comparison`,
  );
  return { kind: "convert", type: vectorOf(scalar, widthOf(value.type)), value };
}

export function bitcast(value: Expression, scalar: ScalarType): Bitcast {
  const words: readonly ScalarType[] = ["f32", "i32", "u32"];
  ensure(words.includes(scalarOf(value.type)) && words.includes(scalar), () => `bitcast ${value.type} to ${scalar}`);
  return { kind: "bitcast", type: vectorOf(scalar, widthOf(value.type)), value };
}

export function vector(scalar: ScalarType, width: VectorWidth, parts: readonly Expression[]): Vector {
  ensure(parts.length === 1 || parts.length === width, () => `${parts.length} parts for a vector of ${width}`);
  for (const part of parts) ensure(part.type === scalar, () => `a ${part.type} in a vector of ${scalar}`);
  return { kind: "vector", type: vectorOf(scalar, width), parts };
}

export function extract(value: Expression, component: number): Extract {
  const width = widthOf(value.type);
  ensure(width > 1 && component >= 0 && component < width, () => `component ${component} of ${value.type}`);
  return { kind: "extract", type: scalarOf(value.type), value, component };
}

export function dot(left: Expression, right: Expression): Dot {
  ensure(left.type === right.type && widthOf(left.type) > 1, () => `dot of ${left.type} and ${right.type}`);
  ensure(isFloat(left.type), () => `dot of ${left.type}`);
  return { kind: "dot", type: scalarOf(left.type), left, right };
}

export function pack(format: HalfFormat, value: Expression): Pack {
  ensure(value.type === "vec2<f32>", () => `pack takes vec2<f32>, not ${value.type}`);
  return { kind: "pack", type: "u32", format, value };
}

export function unpack(format: HalfFormat, value: Expression): Unpack {
  ensure(value.type === "u32", () => `unpack takes u32, not ${value.type}`);
  return { kind: "unpack", type: "vec2<f32>", format, value };
}

export function addHalves(format: HalfFormat, left: Expression, right: Expression): AddHalves {
  ensure(left.type === "u32" && right.type === "u32", () => `halves of ${left.type} and ${right.type}`);
  return { kind: "add-halves", type: "u32", format, left, right };
}

function ensure(condition: boolean, complaint: () => string): asserts condition {
  if (!condition) throw new InternalError(`kernel expression: ${complaint()}`);
}
