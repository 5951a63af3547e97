/**
 * Expressions of the kernel IR: pure, per invocation, typed trees.
 *
 * Whatever needs other invocations (barriers, subgroup operations, uniform loads) is a statement, so an expression can be
 * evaluated for one invocation alone. Nodes are made by `make-expression.ts`, which knows the typing rules.
 */
import type { ScalarType, ValueType } from "./types.js";

export type Expression =
  | Constant
  | Local
  | Param
  | Builtin
  | Load
  | Unary
  | Binary
  | Clamp
  | Fma
  | Select
  | Convert
  | Bitcast
  | Vector
  | Extract
  | Dot
  | Pack
  | Unpack
  | AddHalves;

/** A scalar that is known when the kernel is built. Floats are finite and already rounded to their type. */
export interface Constant {
  readonly kind: "constant";
  readonly type: ScalarType;
  /** 0 or 1 for booleans. */
  readonly value: number;
}

/** A `let`, a `var`, or a loop variable. Names are unique in a kernel. */
export interface Local {
  readonly kind: "local";
  readonly type: ValueType;
  readonly name: string;
}

/** A uniform scalar given with the dispatch. */
export interface Param {
  readonly kind: "param";
  readonly type: ScalarType;
  readonly name: string;
}

export const builtinNames = [
  "workgroup_id.x",
  "workgroup_id.y",
  "workgroup_id.z",
  "num_workgroups.x",
  "num_workgroups.y",
  "num_workgroups.z",
  /** Place in the workgroup; workgroups are one-dimensional. */
  "local_id",
  /** `workgroup_id.x * workgroup size + local_id`. */
  "global_id",
  "subgroup_lane",
  "subgroup_size",
] as const;
export type BuiltinName = (typeof builtinNames)[number];

/** Where an invocation stands; always u32. */
export interface Builtin {
  readonly kind: "builtin";
  readonly type: "u32";
  readonly name: BuiltinName;
}

/** `buffer`: device memory. `workgroup`: shared by a workgroup. `register`: an array of one invocation. */
export type Space = "buffer" | "workgroup" | "register";

/** One element. The index counts elements of the declared type, so a step of 1 in a `vec4<f32>` buffer is 16 bytes. */
export interface Load {
  readonly kind: "load";
  readonly type: ValueType;
  readonly space: Space;
  readonly name: string;
  /** u32 or i32. */
  readonly index: Expression;
}

export const unaryOps = [
  "neg",
  "not",
  "bit-not",
  "abs",
  "exp",
  "exp2",
  "log",
  "log2",
  "sqrt",
  "inverse-sqrt",
  "tanh",
  "floor",
  "ceil",
] as const;
export type UnaryOp = (typeof unaryOps)[number];

/** Componentwise on vectors. */
export interface Unary {
  readonly kind: "unary";
  readonly type: ValueType;
  readonly op: UnaryOp;
  readonly operand: Expression;
}

export const arithmeticOps = ["add", "sub", "mul", "div", "rem", "min", "max"] as const;
export type ArithmeticOp = (typeof arithmeticOps)[number];
export const comparisonOps = ["eq", "ne", "lt", "le", "gt", "ge"] as const;
export type ComparisonOp = (typeof comparisonOps)[number];
export const bitOps = ["bit-and", "bit-or", "bit-xor", "shl", "shr"] as const;
export type BitOp = (typeof bitOps)[number];
/** The right side is evaluated only when the left one does not decide. */
export const logicOps = ["and", "or"] as const;
export type LogicOp = (typeof logicOps)[number];
export const binaryOps = [...arithmeticOps, ...comparisonOps, ...bitOps, ...logicOps] as const;
export type BinaryOp = (typeof binaryOps)[number];

/**
 * Componentwise on vectors; both sides have one type, except that shifts count by u32.
 * Integers wrap; `div` and `rem` of integers truncate toward zero, and a divisor of 0 is an error of the kernel.
 */
export interface Binary {
  readonly kind: "binary";
  readonly type: ValueType;
  readonly op: BinaryOp;
  readonly left: Expression;
  readonly right: Expression;
}

/** `min(max(value, low), high)`. */
export interface Clamp {
  readonly kind: "clamp";
  readonly type: ValueType;
  readonly value: Expression;
  readonly low: Expression;
  readonly high: Expression;
}

/** `a * b + c`, rounded once or twice as the device likes. */
export interface Fma {
  readonly kind: "fma";
  readonly type: ValueType;
  readonly a: Expression;
  readonly b: Expression;
  readonly c: Expression;
}

/** Both sides are evaluated; the condition is one bool, or one per component. */
export interface Select {
  readonly kind: "select";
  readonly type: ValueType;
  readonly condition: Expression;
  readonly yes: Expression;
  readonly no: Expression;
}

/** Changes the scalar type and keeps the value as far as it can: floats truncate toward zero on their way to integers. */
export interface Convert {
  readonly kind: "convert";
  readonly type: ValueType;
  readonly value: Expression;
}

/** Keeps the bits; between f32, i32 and u32. */
export interface Bitcast {
  readonly kind: "bitcast";
  readonly type: ValueType;
  readonly value: Expression;
}

/** A vector of its parts; a single part fills every component. */
export interface Vector {
  readonly kind: "vector";
  readonly type: ValueType;
  readonly parts: readonly Expression[];
}

/** One component, chosen when the kernel is built. */
export interface Extract {
  readonly kind: "extract";
  readonly type: ScalarType;
  readonly value: Expression;
  readonly component: number;
}

export interface Dot {
  readonly kind: "dot";
  readonly type: ScalarType;
  readonly left: Expression;
  readonly right: Expression;
}

export const halfFormats = ["f16", "bf16"] as const;
export type HalfFormat = (typeof halfFormats)[number];

/** Two f32 to two halves in one u32, the first in the low bits. Needs no capability. */
export interface Pack {
  readonly kind: "pack";
  readonly type: "u32";
  readonly format: HalfFormat;
  readonly value: Expression;
}

/** The two halves of a u32 as `vec2<f32>`, the low bits first. Needs no capability. */
export interface Unpack {
  readonly kind: "unpack";
  readonly type: "vec2<f32>";
  readonly format: HalfFormat;
  readonly value: Expression;
}

/** The sums of two pairs of halves in words, each rounded once. Needs no capability. */
export interface AddHalves {
  readonly kind: "add-halves";
  readonly type: "u32";
  readonly format: HalfFormat;
  readonly left: Expression;
  readonly right: Expression;
}
