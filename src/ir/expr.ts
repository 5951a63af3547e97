/**
 * Integer expressions over named symbols.
 *
 * One small language serves every size that is known only when a model runs: tensor dimensions, the bounds of the keys a query
 * sees, rows that a phase computes, dispatch counts, memory formulas. It is plain data, so the manifest carries it unchanged and
 * a run time in another language evaluates it with a dozen lines. Division is floor division by a positive value; `mod` is its
 * non-negative remainder. Values stay below 2^53.
 */
export type Expr =
  | number
  | string
  | { readonly op: "add" | "mul" | "min" | "max"; readonly args: readonly Expr[] }
  | { readonly op: "sub" | "div" | "mod"; readonly args: readonly [Expr, Expr] }
  /** 1 when the comparison holds, else 0. */
  | { readonly op: "le" | "eq"; readonly args: readonly [Expr, Expr] }
  /** The second argument where the first is not 0, else the third. */
  | { readonly op: "select"; readonly args: readonly [Expr, Expr, Expr] };

export type Environment = Readonly<Record<string, number>>;

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

/** Evaluates an expression; a symbol without a value is a broken invariant of the caller. */
export function evaluate(expr: Expr, env: Environment): number {
  if (typeof expr === "number") return expr;
  if (typeof expr === "string") {
    const value = env[expr];
    if (value === undefined) throw new Error(`no value for the symbol ${expr}`);
    return value;
  }
  const values = expr.args.map((arg) => evaluate(arg, env));
  switch (expr.op) {
    case "add":
      return values.reduce((a, b) => a + b, 0);
    case "mul":
      return values.reduce((a, b) => a * b, 1);
    case "min":
      return Math.min(...values);
    case "max":
      return Math.max(...values);
    case "sub":
      return values[0]! - values[1]!;
    case "div":
      return Math.floor(values[0]! / values[1]!);
    case "mod":
      return values[0]! - values[1]! * Math.floor(values[0]! / values[1]!);
    case "le":
      return values[0]! <= values[1]! ? 1 : 0;
    case "eq":
      return values[0]! === values[1]! ? 1 : 0;
    case "select":
      return values[0]! !== 0 ? values[1]! : values[2]!;
  }
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

const precedence = { add: 1, sub: 1, mul: 2, div: 2, mod: 2, le: 0, eq: 0 } as const;

/** Readable text: `max(0, n - 1) * (K - 1)`. */
export function printExpr(expr: Expr, outer = -1): string {
  if (typeof expr !== "object") return String(expr);
  const { op, args } = expr;
  if (op === "min" || op === "max" || op === "select") return `${op}(${args.map((arg) => printExpr(arg)).join(", ")})`;
  const level = precedence[op];
  const sign = { add: " + ", sub: " - ", mul: " * ", div: " div ", mod: " mod ", le: " <= ", eq: " == " }[op];
  // The right side of `-`, `div` and `mod` binds tighter, so that a - (b - c) keeps its parentheses.
  const text = args
    .map((arg, index) => printExpr(arg, index === 0 ? level : level + (op === "mul" || op === "add" ? 0 : 0.5)))
    .join(sign);
  return level < outer ? `(${text})` : text.replaceAll(" + -", " - ");
}
