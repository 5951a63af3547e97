/**
 * Sums of an integer expression over many positions, without visiting each.
 *
 * Between two positions the expression is a straight line unless some `min`, `max`, comparison or rounding inside it turns on the way. Whether
 * one does is seen from the two ends alone, since everything below it is a straight line already. Where one turns, the stretch is halved.
 */
import { type Environment, type Expr, evaluate } from "../../ir/expr.js";
import { stepOf } from "./period-of.js";

/** The values at both ends of a stretch on which the expression is a straight line. */
interface Line {
  readonly start: number;
  readonly end: number;
}

/** The sum of `expr` where `symbol` takes the values first … end - 1. */
export function sumBetween(expr: Expr, symbol: string, first: number, end: number, env: Environment): number {
  const step = usefulStep(expr, symbol, end - first);
  let total = 0;
  for (let start = first; start < Math.min(end, first + step); start++) {
    total += sumOver(expr, symbol, { first: start, step, count: Math.ceil((end - start) / step) }, env);
  }
  return total;
}

/**
 * Values apart that are summed together. Roundings by small divisors come out alike after a common multiple of them; those by divisors
 * so large that few multiples lie within the stretch are left to the halving of sums.
 */
function usefulStep(expr: Expr, symbol: string, values: number): number {
  let most = Math.max(1, Math.ceil(Math.sqrt(values)));
  let step = stepOf(expr, symbol, most);
  while (most > 1 && step > mostSteps) {
    most = Math.floor(most / 2);
    step = stepOf(expr, symbol, most);
  }
  return step;
}

const mostSteps = 100_000;

/** The sum of `expr` at `count` values of `symbol`: first, first + step, … */
function sumOver(
  expr: Expr,
  symbol: string,
  { first, step, count }: { readonly first: number; readonly step: number; readonly count: number },
  env: Environment,
): number {
  if (count <= 0) return 0;
  const steps = count - 1;
  const last = first + step * steps;
  const line = steps === 0 ? undefined : lineOf(expr, symbol, { start: first, end: last }, steps, env);
  if (line !== undefined) return ((line.start + line.end) * count) / 2;
  if (steps === 0) return evaluate(expr, { ...env, [symbol]: first });
  const half = Math.floor(count / 2);
  return (
    sumOver(expr, symbol, { first, step, count: half }, env) +
    sumOver(expr, symbol, { first: first + step * half, step, count: count - half }, env)
  );
}

/** Undefined where the expression may turn between the ends. `steps` is at least 1. */
function lineOf(expr: Expr, symbol: string, ends: Line, steps: number, env: Environment): Line | undefined {
  if (typeof expr === "number") return { start: expr, end: expr };
  if (typeof expr === "string") {
    if (expr === symbol) return ends;
    const value = evaluate(expr, env);
    return { start: value, end: value };
  }
  const lines: Line[] = [];
  for (const arg of expr.args) {
    const line = lineOf(arg, symbol, ends, steps, env);
    if (line === undefined) return undefined;
    lines.push(line);
  }
  const at = (values: readonly number[]) => evaluate({ ...expr, args: values } as Expr, {});
  const result = { start: at(lines.map(({ start }) => start)), end: at(lines.map(({ end }) => end)) };
  const [first, second] = lines as [Line, Line];
  switch (expr.op) {
    case "add":
    case "sub":
      return result;
    case "mul":
      return lines.filter(({ start, end }) => start !== end).length <= 1 ? result : undefined;
    case "div":
    case "mod": {
      if (second.start !== second.end) return undefined;
      // A rise by whole divisors from step to step passes no rounding; nor do values that all have the same quotient.
      const rise = (first.end - first.start) / steps;
      const sameQuotient = Math.floor(first.start / second.start) === Math.floor(first.end / second.start);
      return rise % second.start === 0 || sameQuotient ? result : undefined;
    }
    case "min":
    case "max":
      return lines.some(({ start, end }) => start === result.start && end === result.end) ? result : undefined;
    case "le":
      return result.start === result.end ? result : undefined;
    case "eq": {
      const [before, after] = [first.start - second.start, first.end - second.end];
      const same = before === 0 && after === 0;
      return same || before * after > 0 ? result : undefined;
    }
    case "select":
      return first.start === first.end ? lines[first.start !== 0 ? 1 : 2] : undefined;
  }
}
