/**
 * After how many positions a condition on tokens repeats.
 *
 * Conditions of rows with holes speak of remainders: `pos div 4 * 4 == pos` holds again four positions later. Rows of a long prompt are
 * counted by counting one period.
 */
import type { Expr } from "../../ir/expr.js";

/** A number of positions after which the condition takes the same values again, for the same copy; undefined where none is known. */
export function periodOf(condition: Expr): number | undefined {
  const period = divisorsOf(condition);
  return riseOf(condition, period) === 0 ? period : undefined;
}

/** A multiple of everything that `pos` is divided by: the product along nested divisions, the least common multiple beside each other. */
function divisorsOf(expr: Expr): number {
  if (typeof expr !== "object") return 1;
  const inside = expr.args.map(divisorsOf).reduce(leastCommonMultiple, 1);
  const divisor = expr.op === "div" || expr.op === "mod" ? expr.args[1] : 1;
  return typeof divisor === "number" ? inside * divisor : inside;
}

/** By how much the value rises when `pos` rises by `step`, if that is the same everywhere. */
function riseOf(expr: Expr, step: number): number | undefined {
  if (typeof expr === "number") return 0;
  if (typeof expr === "string") return expr === "pos" ? step : 0;
  const rises = expr.args.map((arg) => riseOf(arg, step));
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

export function leastCommonMultiple(a: number, b: number): number {
  let [x, y] = [a, b];
  while (y !== 0) [x, y] = [y, x % y];
  return (a / x) * b;
}
