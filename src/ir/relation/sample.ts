/**
 * A concrete point of a set, small in the order in which its variables are named: the witness of a diagnostic.
 */
import { constant } from "./affine.js";
import { contains, type IntegerSet, isEmpty, project, simplify, substitute } from "./integer-set.js";
import { intervalOf } from "./interval.js";

/** The lexicographically smallest point with variables at least 0; undefined when the set has none. */
export function samplePoint(set: IntegerSet, names: readonly string[]): Record<string, number> | undefined {
  const point: Record<string, number> = {};
  let rest = set;
  for (const [index, name] of names.entries()) {
    const values = simplify(project(rest, names.slice(index + 1)));
    const value = smallestValue(values, name);
    if (value === undefined) return undefined;
    point[name] = value;
    rest = substitute(rest, { [name]: constant(value) });
  }
  return isEmpty(rest) ? undefined : point;
}

/** The smallest value from 0 on in a set over one variable. */
function smallestValue(values: IntegerSet, name: string): number | undefined {
  let best: number | undefined;
  for (const part of values) {
    if (isEmpty([part])) continue;
    const { lower, upper } = intervalOf(part, name);
    const from = Math.max(0, ...lower.filter((bound) => typeof bound === "number"));
    const to = Math.min(Number.MAX_SAFE_INTEGER, ...upper.filter((bound) => typeof bound === "number"));
    // Congruences skip values, so the next that fits is at most the product of their divisors away.
    let value = from;
    while (value < to && (best === undefined || value < best) && !contains([part], { [name]: value })) value++;
    if (value < to && (best === undefined || value < best)) best = value;
  }
  return best;
}
