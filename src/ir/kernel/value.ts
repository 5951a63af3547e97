/**
 * Values as kernel authors write them: `row.mul(width).add(column)`, `exp(score.sub(peak))`.
 *
 * A `Value` wraps an expression with methods; numbers and booleans stand for constants of the other operand's type, and a
 * scalar beside a vector fills its components. Integer arithmetic on constants is folded, so that kernels written over
 * compile-time parameters print without `* 1u + 0u`.
 */
import { InternalError } from "../../diagnostics/diagnostic.js";
import type { ArithmeticOp, BinaryOp, BitOp, ComparisonOp, Expression, HalfFormat, UnaryOp } from "./expressions.js";
import { foldComparison, foldInteger } from "./fold.js";
import * as make from "./make-expression.js";
import { type ScalarType, scalarOf, type ValueType, type VectorWidth, widthOf } from "./types.js";

export type Operand = Value | number | boolean;

export class Value {
  constructor(readonly expression: Expression) {}

  get type(): ValueType {
    return this.expression.type;
  }

  add(other: Operand): Value {
    return arithmetic("add", this, other);
  }
  sub(other: Operand): Value {
    return arithmetic("sub", this, other);
  }
  mul(other: Operand): Value {
    return arithmetic("mul", this, other);
  }
  /** Integers truncate toward zero; see `floorDiv` in from-integer.ts for floor division of signed values. */
  div(other: Operand): Value {
    return arithmetic("div", this, other);
  }
  /** The remainder of `div`; it has the sign of the left side. */
  rem(other: Operand): Value {
    return arithmetic("rem", this, other);
  }

  eq(other: Operand): Value {
    return compare("eq", this, other);
  }
  ne(other: Operand): Value {
    return compare("ne", this, other);
  }
  lt(other: Operand): Value {
    return compare("lt", this, other);
  }
  le(other: Operand): Value {
    return compare("le", this, other);
  }
  gt(other: Operand): Value {
    return compare("gt", this, other);
  }
  ge(other: Operand): Value {
    return compare("ge", this, other);
  }

  and(other: Operand): Value {
    return logic("and", this, other);
  }
  or(other: Operand): Value {
    return logic("or", this, other);
  }
  not(): Value {
    return apply("not", this);
  }

  bitAnd(other: Operand): Value {
    return bits("bit-and", this, other);
  }
  bitOr(other: Operand): Value {
    return bits("bit-or", this, other);
  }
  bitXor(other: Operand): Value {
    return bits("bit-xor", this, other);
  }
  shl(count: Operand): Value {
    return shift("shl", this, count);
  }
  /** Copies the sign of an i32, fills a u32 with zeros. */
  shr(count: Operand): Value {
    return shift("shr", this, count);
  }

  neg(): Value {
    return apply("neg", this);
  }

  toF32(): Value {
    return convert(this, "f32");
  }
  toF16(): Value {
    return convert(this, "f16");
  }
  toI32(): Value {
    return convert(this, "i32");
  }
  toU32(): Value {
    return convert(this, "u32");
  }
  /** To a scalar type that is a compile-time parameter of the kernel. */
  to(scalar: ScalarType): Value {
    return convert(this, scalar);
  }
  /** The same bits as another 32-bit type. */
  bitcast(scalar: "f32" | "i32" | "u32"): Value {
    return new Value(make.bitcast(this.expression, scalar));
  }

  /** One component of a vector; the only component of a scalar is itself. */
  component(index: number): Value {
    if (widthOf(this.type) === 1 && index === 0) return new Value(this.expression);
    return new Value(make.extract(this.expression, index));
  }

  get x(): Value {
    return this.component(0);
  }
  get y(): Value {
    return this.component(1);
  }
  get z(): Value {
    return this.component(2);
  }
  get w(): Value {
    return this.component(3);
  }
}

export const f32 = (value: number): Value => new Value(make.constant("f32", value));
export const f16 = (value: number): Value => new Value(make.constant("f16", value));
export const i32 = (value: number): Value => new Value(make.constant("i32", value));
export const u32 = (value: number): Value => new Value(make.constant("u32", value));
export const bool = (value: boolean): Value => new Value(make.constant("bool", value ? 1 : 0));

/** A number in any type: `constantOf("vec4<f32>", 0)` is four zeros. */
export function constantOf(type: ValueType, value: number): Value {
  return fill(new Value(make.constant(scalarOf(type), value)), type);
}

/** A vector of scalars: `vector("f32", [a, b])`. */
export function vector(scalar: ScalarType, parts: readonly Operand[]): Value {
  const values = parts.map((part) => lift(part, scalar).expression);
  return new Value(make.vector(scalar, values.length as VectorWidth, values));
}

/** Fills every component with one value; a scalar type leaves it alone. */
export function fill(value: Operand, type: ValueType): Value {
  const scalar = lift(value, scalarOf(type));
  const width = widthOf(type);
  return width === 1 ? scalar : new Value(make.vector(scalarOf(type), width, [scalar.expression]));
}

export const exp = (value: Value): Value => apply("exp", value);
export const exp2 = (value: Value): Value => apply("exp2", value);
export const log = (value: Value): Value => apply("log", value);
export const log2 = (value: Value): Value => apply("log2", value);
export const sqrt = (value: Value): Value => apply("sqrt", value);
export const inverseSqrt = (value: Value): Value => apply("inverse-sqrt", value);
export const tanh = (value: Value): Value => apply("tanh", value);
export const abs = (value: Value): Value => apply("abs", value);
export const floor = (value: Value): Value => apply("floor", value);
export const ceil = (value: Value): Value => apply("ceil", value);

export const min = (left: Value, ...others: Operand[]): Value =>
  others.reduce<Value>((a, b) => arithmetic("min", a, b), left);
export const max = (left: Value, ...others: Operand[]): Value =>
  others.reduce<Value>((a, b) => arithmetic("max", a, b), left);

export function clamp(value: Value, low: Operand, high: Operand): Value {
  const { type } = value;
  return new Value(make.clamp(value.expression, lift(low, type).expression, lift(high, type).expression));
}

/** `a * b + c`; scalars beside vectors fill them. */
export function fma(a: Value, b: Operand, c: Value): Value {
  const type = widthOf(c.type) > widthOf(a.type) ? c.type : a.type;
  return new Value(make.fma(lift(a, type).expression, lift(b, type).expression, lift(c, type).expression));
}

/** `yes` where the condition holds, else `no`. At least one of them is a `Value`, which gives the type. */
export function select(condition: Operand, yes: Operand, no: Operand): Value {
  if (typeof condition === "boolean") return condition ? chosen(yes, no) : chosen(no, yes);
  if (typeof condition === "number") throw new InternalError("select takes a condition, not a number");
  const [left, right] = unify(yes, no);
  return new Value(make.select(condition.expression, left.expression, right.expression));
}

export const dot = (left: Value, right: Value): Value => new Value(make.dot(left.expression, right.expression));

/** Two f32 (`vec2<f32>`) as two halves in a u32. */
export const packHalves = (format: HalfFormat, value: Value): Value => new Value(make.pack(format, value.expression));
/** The two halves in a u32 as `vec2<f32>`. */
export const unpackHalves = (format: HalfFormat, value: Value): Value =>
  new Value(make.unpack(format, value.expression));

/** The sums of the two pairs of halves in two u32, in a u32. */
export const addHalves = (format: HalfFormat, left: Value, right: Operand): Value =>
  new Value(make.addHalves(format, left.expression, lift(right, "u32").expression));

/** All conditions; true when there are none. */
export const allOf = (...conditions: Value[]): Value =>
  conditions.length === 0 ? bool(true) : conditions.reduce((a, b) => a.and(b));
/** Any condition; false when there are none. */
export const anyOf = (...conditions: Value[]): Value =>
  conditions.length === 0 ? bool(false) : conditions.reduce((a, b) => a.or(b));

/** Reads an operand as a value of `type`: numbers become constants, scalars fill vectors. */
export function lift(operand: Operand, type: ValueType): Value {
  const width = widthOf(type);
  if (operand instanceof Value) return width > 1 && widthOf(operand.type) === 1 ? fill(operand, type) : operand;
  return fill(new Value(make.constant(scalarOf(type), Number(operand))), type);
}

function chosen(operand: Operand, other: Operand): Value {
  return unify(operand, other)[0];
}

function unify(left: Operand, right: Operand): [Value, Value] {
  if (!(left instanceof Value) && !(right instanceof Value)) {
    throw new InternalError("one side must be a value: two literals have no type");
  }
  const leftWidth = left instanceof Value ? widthOf(left.type) : 0;
  const rightWidth = right instanceof Value ? widthOf(right.type) : 0;
  const type = (leftWidth >= rightWidth ? (left as Value) : (right as Value)).type;
  return [lift(left, type), lift(right, type)];
}

function apply(op: UnaryOp, operand: Value): Value {
  if (op === "not" && operand.expression.kind === "constant") return bool(operand.expression.value === 0);
  return new Value(make.unary(op, operand.expression));
}

function compare(op: ComparisonOp, left: Value, right: Operand): Value {
  const [a, b] = unify(left, right);
  const folded = foldComparison(op, a.expression, b.expression);
  return folded === undefined ? binary(op, a, b) : bool(folded);
}

function logic(op: "and" | "or", left: Value, right: Operand): Value {
  const other = lift(right, "bool");
  // `true` leaves an `and` unchanged and decides an `or`.
  for (const [side, opposite] of [
    [left, other],
    [other, left],
  ] as const) {
    if (side.expression.kind !== "constant") continue;
    return (side.expression.value === 1) === (op === "and") ? opposite : side;
  }
  return binary(op, left, other);
}

function bits(op: BitOp, left: Value, right: Operand): Value {
  return binary(op, ...unify(left, right));
}

function shift(op: "shl" | "shr", left: Value, count: Operand): Value {
  const width = widthOf(left.type);
  return binary(op, left, lift(count, width === 1 ? "u32" : `vec${width}<u32>`));
}

function arithmetic(op: ArithmeticOp, left: Value, right: Operand): Value {
  const [a, b] = unify(left, right);
  const folded = foldInteger(op, a.expression, b.expression);
  return folded === undefined ? binary(op, a, b) : new Value(folded);
}

function binary(op: BinaryOp, left: Value, right: Value): Value {
  return new Value(make.binary(op, left.expression, right.expression));
}

function convert(value: Value, scalar: ScalarType): Value {
  if (scalarOf(value.type) === scalar) return new Value(value.expression);
  const { expression } = value;
  if (expression.kind === "constant" && expression.type !== "bool" && scalar === "f32") return f32(expression.value);
  if (expression.kind === "constant" && expression.type === "u32" && scalar === "i32") return i32(expression.value | 0);
  if (expression.kind === "constant" && expression.type === "i32" && scalar === "u32")
    return u32(expression.value >>> 0);
  return new Value(make.convert(expression, scalar));
}
