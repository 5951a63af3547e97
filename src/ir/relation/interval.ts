/**
 * The values of one variable in a conjunct, as bounds in the other variables.
 */
import { add, ceilDiv, div, type Expr, eq, le, max, min, mul } from "../expr.js";
import { type Affine, atomMentions, factorOf, mentions, negate, shift, toExpr } from "./affine.js";
import type { Conjunct } from "./conjunct.js";
import type { Constraint } from "./constraint.js";
import { linearHull } from "./project.js";

export interface Interval {
  /** Lower bounds, of which the largest counts. Empty: unbounded. */
  readonly lower: readonly Expr[];
  /** Exclusive upper bounds, of which the smallest counts. Empty: unbounded. */
  readonly upper: readonly Expr[];
  /** The constraints that say so. */
  readonly bounds: readonly Constraint[];
  /** Constraints that do not mention the variable. */
  readonly guards: readonly Constraint[];
  /** Constraints that hold for some of the values between the bounds only: congruences and the like. */
  readonly filters: readonly Constraint[];
}

/**
 * Exact: the conjunct holds exactly where the bounds, the guards and the filters hold.
 *
 * Where there are filters the bounds are implied by the conjunct, and not always the tightest.
 */
export function intervalOf(part: Conjunct, name: string, rename?: (variable: string) => Expr): Interval {
  const isMeant = (key: string) => key === name;
  const inFloor = ({ form }: Constraint) =>
    form.terms.some(({ atom }) => atom.kind === "floor" && atomMentions(atom, isMeant));
  const filters = part.constraints.filter(inFloor);
  const hull = (filters.length === 0 ? undefined : linearHull(part, name)) ?? part;
  // The hull may have solved for the variable, so that a bound of the conjunct has become a guard there.
  const guards = hull.constraints.filter(({ form }) => !mentions(form, isMeant));
  const bounds = hull.constraints.filter((constraint) => factorOf(constraint.form, name) !== 0 && !inFloor(constraint));
  const lower: Expr[] = [];
  const upper: Expr[] = [];
  for (const constraint of bounds) {
    const { form } = constraint;
    const factor = factorOf(form, name);
    const rest: Affine = { terms: form.terms.filter(({ atom }) => atom.key !== name), constant: form.constant };
    const size = Math.abs(factor);
    // factor > 0: size·x >= -rest; factor < 0: size·x <= rest. An equality is both.
    const bound = factor > 0 ? negate(rest) : rest;
    if (factor > 0 || constraint.kind === "zero") {
      lower.push(size === 1 ? toExpr(bound, rename) : ceilDiv(toExpr(bound, rename), size));
    }
    if (factor < 0 || constraint.kind === "zero") {
      upper.push(size === 1 ? toExpr(shift(bound, 1), rename) : add(div(toExpr(bound, rename), size), 1));
    }
  }
  return { lower, upper, bounds, guards, filters };
}

export const largest = (values: readonly Expr[]): Expr => extreme(values, max);
export const smallest = (values: readonly Expr[]): Expr => extreme(values, min);

function extreme(values: readonly Expr[], of: (...args: Expr[]) => Expr): Expr {
  const distinct = new Map(values.map((value) => [JSON.stringify(value), value]));
  return of(...distinct.values());
}

/** 1 where all constraints hold, else 0. */
export function conditionOf(constraints: readonly Constraint[], rename?: (variable: string) => Expr): Expr {
  return mul(...constraints.map((constraint) => comparison(constraint, rename)));
}

function comparison({ kind, form }: Constraint, rename?: (variable: string) => Expr): Expr {
  const positive = { terms: form.terms.filter(({ factor }) => factor > 0), constant: Math.max(0, form.constant) };
  const negative = {
    terms: form.terms.filter(({ factor }) => factor < 0).map(({ atom, factor }) => ({ atom, factor: -factor })),
    constant: Math.max(0, -form.constant),
  };
  const right = toExpr(positive, rename);
  const left = toExpr(negative, rename);
  return kind === "zero" ? eq(left, right) : le(left, right);
}
