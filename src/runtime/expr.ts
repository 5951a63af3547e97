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
