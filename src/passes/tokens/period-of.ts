/**
 * After how many steps of a symbol the roundings of an expression repeat.
 *
 * Conditions of rows with holes speak of remainders: `pos div 4 * 4 == pos` holds again four positions later. Rows of a long prompt are
 * counted by taking those together that are a common period apart.
 */
import type { Expr } from "../../ir/expr.js";
import { gcd } from "../../ir/relation/affine.js";

/** By how much the symbol has to rise, so that no rounding inside the expression by a divisor of at most `most` comes out differently. */
export function stepOf(expr: Expr, symbol: string, most = Number.POSITIVE_INFINITY): number {
  if (typeof expr !== "object") return 1;
  const inside = expr.args.map((arg) => stepOf(arg, symbol, most)).reduce(leastCommonMultiple, 1);
  if (expr.op !== "div" && expr.op !== "mod") return inside;
  const [dividend, divisor] = expr.args;
  if (typeof divisor !== "number" || divisor > most) return inside;
  const rise = riseOf(dividend, symbol, inside);
  return inside * (rise === undefined ? divisor : divisor / gcd(rise, divisor));
}

/** By how much the value rises when the symbol rises by `step`, if that is the same everywhere. */
function riseOf(expr: Expr, symbol: string, step: number): number | undefined {
  if (typeof expr === "number") return 0;
  if (typeof expr === "string") return expr === symbol ? step : 0;
  const rises = expr.args.map((arg) => riseOf(arg, symbol, step));
  if (!rises.every((rise) => rise !== undefined)) return undefined;
  const [first, second] = rises as [number, number];
  if (rises.every((rise) => rise === 0)) return 0;
  switch (expr.op) {
    case "add":
      return rises.reduce((total, rise) => total + rise, 0);
    case "sub":
      return first - second;
    case "mul": {
      const factors = expr.args.filter((arg) => typeof arg === "number");
      const moving = rises.filter((rise) => rise !== 0);
      if (factors.length < expr.args.length - 1 || moving.length !== 1) return undefined;
      return factors.reduce((product, factor) => product * factor, moving[0]!);
    }
    case "div":
    case "mod": {
      const divisor = expr.args[1];
      if (typeof divisor !== "number" || first % divisor !== 0) return undefined;
      return expr.op === "div" ? first / divisor : 0;
    }
    case "min":
    case "max":
      return rises.every((rise) => rise === first) ? first : undefined;
    case "le":
    case "eq":
      return first === second ? 0 : undefined;
    case "select":
      return first === 0 && second === rises[2] ? second : undefined;
  }
}

export const leastCommonMultiple = (a: number, b: number): number => (a / gcd(a, b)) * b;
