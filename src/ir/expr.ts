/**
 * Builders and rewrites for the integer expressions that sizes, bounds and formulas are written in.
 *
 * The expressions themselves, and their value, belong to the run time (`runtime/expr.ts`): a compiled package carries them.
 */
import type { Expr } from "../runtime/expr.js";

export { type Environment, type Expr, evaluate, printExpr } from "../runtime/expr.js";

export const add = (...args: Expr[]): Expr => fold("add", args, 0);
export const mul = (...args: Expr[]): Expr => fold("mul", args, 1);
export const min = (...args: Expr[]): Expr =>
  args.length === 1 ? args[0]! : (allNumbers(args, (v) => Math.min(...v)) ?? { op: "min", args });
export const max = (...args: Expr[]): Expr =>
  args.length === 1 ? args[0]! : (allNumbers(args, (v) => Math.max(...v)) ?? { op: "max", args });
export const sub = (left: Expr, right: Expr): Expr =>
  right === 0 ? left : (allNumbers([left, right], ([a, b]) => a! - b!) ?? { op: "sub", args: [left, right] });
export const div = (left: Expr, right: Expr): Expr =>
  right === 1
    ? left
    : (allNumbers([left, right], ([a, b]) => Math.floor(a! / b!)) ?? { op: "div", args: [left, right] });
export const mod = (left: Expr, right: Expr): Expr =>
  right === 1
    ? 0
    : (allNumbers([left, right], ([a, b]) => a! - b! * Math.floor(a! / b!)) ?? { op: "mod", args: [left, right] });
export const le = (left: Expr, right: Expr): Expr =>
  allNumbers([left, right], ([a, b]) => (a! <= b! ? 1 : 0)) ?? { op: "le", args: [left, right] };
export const eq = (left: Expr, right: Expr): Expr =>
  allNumbers([left, right], ([a, b]) => (a! === b! ? 1 : 0)) ?? { op: "eq", args: [left, right] };
export const select = (condition: Expr, yes: Expr, no: Expr): Expr =>
  typeof condition === "number" ? (condition !== 0 ? yes : no) : { op: "select", args: [condition, yes, no] };
/** The smallest integer that is at least left / right. */
export const ceilDiv = (left: Expr, right: Expr): Expr => div(add(left, sub(right, 1)), right);

function allNumbers(args: readonly Expr[], compute: (values: number[]) => number): number | undefined {
  return args.every((arg) => typeof arg === "number") ? compute(args as number[]) : undefined;
}

function fold(op: "add" | "mul", args: readonly Expr[], neutral: number): Expr {
  const flat = args.flatMap((arg) => (typeof arg === "object" && arg.op === op ? arg.args : [arg]));
  const symbols = flat.filter((arg) => typeof arg !== "number");
  const constant = flat
    .filter((arg) => typeof arg === "number")
    .reduce((total, value) => (op === "add" ? total + value : total * value), neutral);
  if (op === "mul" && constant === 0) return 0;
  const rest = constant === neutral && symbols.length > 0 ? symbols : [...symbols, constant];
  return rest.length === 1 ? rest[0]! : { op, args: rest };
}

/** The names of all symbols of an expression. */
export function symbolsOf(expr: Expr, into = new Set<string>()): Set<string> {
  if (typeof expr === "string") into.add(expr);
  else if (typeof expr === "object") for (const arg of expr.args) symbolsOf(arg, into);
  return into;
}

/** Replaces symbols; those without an entry stay. */
export function substitute(expr: Expr, values: Readonly<Record<string, Expr>>): Expr {
  if (typeof expr === "number") return expr;
  if (typeof expr === "string") return values[expr] ?? expr;
  const args = expr.args.map((arg) => substitute(arg, values));
  switch (expr.op) {
    case "add":
      return add(...args);
    case "mul":
      return mul(...args);
    case "min":
      return min(...args);
    case "max":
      return max(...args);
    case "sub":
      return sub(args[0]!, args[1]!);
    case "div":
      return div(args[0]!, args[1]!);
    case "mod":
      return mod(args[0]!, args[1]!);
    case "le":
      return le(args[0]!, args[1]!);
    case "eq":
      return eq(args[0]!, args[1]!);
    case "select":
      return select(args[0]!, args[1]!, args[2]!);
  }
}
