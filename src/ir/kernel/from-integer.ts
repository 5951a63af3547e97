/**
 * Integer expressions and predicates as kernel code, in i32.
 *
 * Both divide by floor and take non-negative remainders, where the device truncates toward zero. The two agree when the left side
 * is not negative; where that is not known, the code below corrects for it. Values must stay inside i32: keep positions below 2^31
 * divided by the number of copies.
 */
import { unreachable } from "../../diagnostics/diagnostic.js";
import type { Expr } from "../expr.js";
import type { Comparison, Coordinate, Predicate, Term } from "../relation/predicate.js";
import { allOf, anyOf, bool, i32, type KernelBuilder, max, min, select, type Value } from "./builder.js";

/** Values of symbols, i32 or u32. All that are listed in `nonNegative` must be at least 0; u32 symbols always count as such. */
export interface Symbols {
  readonly values: Readonly<Record<string, Value>>;
  readonly nonNegative?: ReadonlySet<string>;
}

/** The i32 value of an integer expression. Operands that are used twice get a name, in statements emitted here. */
export function integerValue(k: KernelBuilder, expr: Expr, symbols: Symbols): Value {
  return translateExpr(k, expr, symbols).value;
}

/** Whether an integer expression is not 0. */
function integerCondition(k: KernelBuilder, expr: Expr, symbols: Symbols): Value {
  if (typeof expr === "number") return bool(expr !== 0);
  if (typeof expr === "object" && (expr.op === "le" || expr.op === "eq")) {
    const [left, right] = expr.args.map((arg) => integerValue(k, arg, symbols)) as [Value, Value];
    return expr.op === "le" ? left.le(right) : left.eq(right);
  }
  return integerValue(k, expr, symbols).ne(0);
}

/** Coordinates of a query and a key; i32 or u32. Positions count from 0, copies from 1. */
export type Coordinates = Readonly<Record<Coordinate, Value>>;

/** Whether the query sees the key. The coordinates must be those of real tokens, so none is negative. */
export function predicateValue(k: KernelBuilder, predicate: Predicate, coordinates: Coordinates): Value {
  switch (predicate.kind) {
    case "constant":
      return bool(predicate.value);
    case "compare": {
      const left = translateTerm(k, predicate.left, coordinates).value;
      const right = translateTerm(k, predicate.right, coordinates).value;
      return compare(predicate.operator, left, right);
    }
    case "and":
      return allOf(...predicate.parts.map((part) => predicateValue(k, part, coordinates)));
    case "or":
      return anyOf(...predicate.parts.map((part) => predicateValue(k, part, coordinates)));
    case "not":
      return predicateValue(k, predicate.part, coordinates).not();
    default:
      return unreachable(predicate);
  }
}

/** Floor division by a positive divisor, whatever the sign of the left side. */
export function floorDiv(k: KernelBuilder, value: Value, divisor: Value | number): Value {
  return signedDiv(k, { value, nonNegative: false }, operand(divisor)).value;
}

/** The remainder in 0 … divisor - 1, whatever the sign of the left side; the divisor is positive. */
export function floorMod(k: KernelBuilder, value: Value, divisor: Value | number): Value {
  return signedMod(k, { value, nonNegative: false }, operand(divisor)).value;
}

/** An i32 and what is known of its sign. */
interface Integer {
  readonly value: Value;
  readonly nonNegative: boolean;
}

const operand = (value: Value | number) => (typeof value === "number" ? i32(value) : value);
const number = (value: number): Integer => ({ value: i32(value), nonNegative: value >= 0 });

function translateExpr(k: KernelBuilder, expr: Expr, symbols: Symbols): Integer {
  if (typeof expr === "number") return number(expr);
  if (typeof expr === "string") return symbolValue(expr, symbols);
  const { op } = expr;
  if (op === "select") {
    const condition = integerCondition(k, expr.args[0], symbols);
    const [yes, no] = [translateExpr(k, expr.args[1], symbols), translateExpr(k, expr.args[2], symbols)];
    return { value: select(condition, yes.value, no.value), nonNegative: yes.nonNegative && no.nonNegative };
  }
  if (op === "le" || op === "eq") {
    return { value: select(integerCondition(k, expr, symbols), i32(1), i32(0)), nonNegative: true };
  }
  const args = expr.args.map((arg) => translateExpr(k, arg, symbols));
  const [left, right] = args as [Integer, Integer];
  const every = args.every((arg) => arg.nonNegative);
  const reduce = (combine: (a: Value, b: Value) => Value) => args.map((arg) => arg.value).reduce(combine);
  switch (op) {
    case "add":
      return { value: reduce((a, b) => a.add(b)), nonNegative: every };
    case "mul":
      return { value: reduce((a, b) => a.mul(b)), nonNegative: every };
    case "min":
      return { value: reduce((a, b) => min(a, b)), nonNegative: every };
    case "max":
      return { value: reduce((a, b) => max(a, b)), nonNegative: args.some((arg) => arg.nonNegative) };
    case "sub":
      return { value: left.value.sub(right.value), nonNegative: false };
    case "div":
      return signedDiv(k, left, right.value);
    case "mod":
      return signedMod(k, left, right.value);
    default:
      return unreachable(op);
  }
}

function symbolValue(name: string, { values, nonNegative }: Symbols): Integer {
  const value = values[name];
  if (value === undefined) throw new Error(`no kernel value for the symbol ${name}`);
  return { value: value.toI32(), nonNegative: value.type === "u32" || (nonNegative?.has(name) ?? false) };
}

function translateTerm(k: KernelBuilder, term: Term, coordinates: Coordinates): Integer {
  switch (term.kind) {
    case "constant":
      return number(term.value);
    case "coordinate":
      return { value: coordinates[term.name].toI32(), nonNegative: true };
    case "add": {
      const left = translateTerm(k, term.left, coordinates);
      const right = translateTerm(k, term.right, coordinates);
      return { value: addTerms(left.value, right), nonNegative: left.nonNegative && right.nonNegative };
    }
    case "scale": {
      const scaled = translateTerm(k, term.term, coordinates);
      const value = term.factor === -1 ? scaled.value.neg() : scaled.value.mul(term.factor);
      return { value, nonNegative: scaled.nonNegative && term.factor >= 0 };
    }
    case "div":
      return signedDiv(k, translateTerm(k, term.term, coordinates), i32(term.divisor));
    case "mod":
      return signedMod(k, translateTerm(k, term.term, coordinates), i32(term.divisor));
    default:
      return unreachable(term);
  }
}

/** `a + -b` and `a + -2` read better as subtractions. */
function addTerms(left: Value, { value: right }: Integer): Value {
  const { expression } = right;
  if (expression.kind === "constant" && expression.value < 0 && expression.value > -2147483648) {
    return left.sub(-expression.value);
  }
  return left.add(right);
}

function signedDiv(k: KernelBuilder, { value, nonNegative }: Integer, divisor: Value): Integer {
  const shift = exponentOf(divisor);
  if (shift === 0) return { value, nonNegative };
  if (nonNegative || isConstant(value, (number) => number >= 0))
    return { value: value.div(divisor), nonNegative: true };
  // A shift to the right copies the sign, and so rounds down.
  if (shift !== undefined) return { value: value.shr(shift), nonNegative: false };
  const numerator = named(k, "numerator", value);
  const lowered = numerator.sub(select(numerator.lt(0), divisor.sub(1), i32(0)));
  return { value: lowered.div(divisor), nonNegative: false };
}

function signedMod(k: KernelBuilder, { value, nonNegative }: Integer, divisor: Value): Integer {
  const shift = exponentOf(divisor);
  if (shift === 0) return number(0);
  if (nonNegative || isConstant(value, (number) => number >= 0))
    return { value: value.rem(divisor), nonNegative: true };
  // In two's complement the low bits are the non-negative remainder.
  if (shift !== undefined) return { value: value.bitAnd(2 ** shift - 1), nonNegative: true };
  const remainder = named(k, "remainder", value.rem(divisor));
  return { value: remainder.add(select(remainder.lt(0), divisor, i32(0))), nonNegative: true };
}

/** The exponent of a constant power of two below 2^31. */
function exponentOf(divisor: Value): number | undefined {
  const { expression } = divisor;
  if (expression.kind !== "constant" || expression.value < 1) return undefined;
  const exponent = Math.round(Math.log2(expression.value));
  return 2 ** exponent === expression.value ? exponent : undefined;
}

function isConstant(value: Value, test: (number: number) => boolean): boolean {
  return value.expression.kind === "constant" && test(value.expression.value);
}

function named(k: KernelBuilder, name: string, value: Value): Value {
  const { kind } = value.expression;
  return kind === "local" || kind === "param" || kind === "constant" ? value : k.let(name, value);
}

function compare(operator: Comparison, left: Value, right: Value): Value {
  switch (operator) {
    case "==":
      return left.eq(right);
    case "!=":
      return left.ne(right);
    case "<":
      return left.lt(right);
    case "<=":
      return left.le(right);
    case ">":
      return left.gt(right);
    case ">=":
      return left.ge(right);
  }
}
