/**
 * Which keys of a group a query has to visit: the bounds of a kernel's loop over keys.
 *
 * The bounds are the hull of what the relation lets the query see, so they are sound by construction. Where the algebra proves that
 * everything between them is visible, the kernel needs no mask.
 */
import { add, type Expr, le, max, min, mul, select } from "../../ir/expr.js";
import { constant, scale, shift, toExpr, variable } from "../../ir/relation/affine.js";
import type { Conjunct } from "../../ir/relation/conjunct.js";
import type { Constraint } from "../../ir/relation/constraint.js";
import { setOfPredicate } from "../../ir/relation/from-predicate.js";
import {
  atMost,
  contextOf,
  type IntegerSet,
  intersect,
  isEmpty,
  less,
  project,
  simplify,
  substitute,
  subtract,
  where,
} from "../../ir/relation/integer-set.js";
import { conditionOf, intervalOf, largest, smallest } from "../../ir/relation/interval.js";
import type { Predicate } from "../../ir/relation/predicate.js";
import { attempt } from "../../ir/relation/work.js";
import { KEY, keyCoordinates, rowsBetween, sizeOf } from "./group-relation.js";
import type { KeyGroup } from "./group-tokens.js";

/** The keys of a group that a query may see, by their number i = pos * copies in the group + copy - first copy. */
export interface KeyBounds {
  /** The first, in the symbols q_pos and q_copy. */
  readonly lo: Expr;
  /** One past the last; where it is not above `lo`, the query sees no key of the group. */
  readonly hi: Expr;
  /** For every query, every key in [lo, hi) is visible. */
  readonly exact: boolean;
  /** No query sees any key of the group. */
  readonly empty?: boolean;
}

const POS = variable("q_pos");
const COPY = variable("q_copy");

/** Work after which the positions alone bound the keys: bounds only save time. */
const UNITS = 300_000;

/** Sound for every relation in which no query sees a later position. */
export function keyBounds(predicate: Predicate, copies: number, group: KeyGroup): KeyBounds {
  const allSoFar: KeyBounds = { lo: 0, hi: endOfQuery(group), exact: false };
  return attempt(UNITS, () => tightBounds(predicate, copies, group)) ?? allSoFar;
}

/** One past the last key of the query's own position. */
const endOfQuery = (group: KeyGroup): Expr => toExpr(scale(shift(POS, 1), sizeOf(group)));

function tightBounds(predicate: Predicate, copies: number, group: KeyGroup): KeyBounds {
  const context = contextOf(atMost(constant(0), POS), atMost(constant(1), COPY), atMost(COPY, constant(copies)));
  const seen = seenKeys(predicate, group, context);
  if (seen.length === 0) return { lo: 0, hi: 0, exact: true, empty: true };
  const parts = seen.map((part) => boundsOfPart(part, group, context, seen.length === 1));
  // Only parts that are not empty count: hi is 0 without any, and lo is hi.
  const hi = max(...parts.map((part) => (part.condition === 1 ? part.hi : select(part.condition, part.hi, 0))));
  const only = parts.length === 1;
  const lo = min(
    ...parts.map((part) => (part.condition === 1 ? part.lo : select(part.condition, part.lo, only ? 0 : hi))),
  );
  const contiguous = parts.every((part) => !part.hasHoles) && (only || attempt(50_000, () => hasNoGap(seen, context)));
  return { lo, hi, exact: contiguous === true };
}

/** Pairs of a query (q_pos, q_copy) and a key row (k.row) of its own or an earlier position. */
function seenKeys(predicate: Predicate, group: KeyGroup, context: readonly Constraint[]): IntegerSet {
  const relation = substitute(setOfPredicate(predicate), { "q.pos": POS, "q.copy": COPY, ...keyCoordinates(group) });
  const exist = rowsBetween(group, constant(0), shift(POS, 1));
  return simplify(intersect(intersect(relation, exist), where(context)), context);
}

interface PartBounds {
  readonly lo: Expr;
  readonly hi: Expr;
  /** When the part has a key at all; 1: for every query. */
  readonly condition: Expr;
  /** Some keys between the bounds may not be in the part. */
  readonly hasHoles: boolean;
}

function boundsOfPart(part: Conjunct, group: KeyGroup, context: readonly Constraint[], alone: boolean): PartBounds {
  const { lower, upper, guards, filters } = intervalOf(part, "k.row");
  // A bound that only a filter implies is not listed; positions bound every key.
  const lo = lower.length === 0 ? 0 : largest(lower);
  const hi = upper.length === 0 ? endOfQuery(group) : smallest(upper);
  return {
    lo,
    hi,
    condition: conditionOfPart(part, guards, context, alone, le(add(lo, 1), hi)),
    hasHoles: filters.length > 0,
  };
}

/** A part that stands alone may be empty by its bounds; among others an empty part must not take part in the hull. */
function conditionOfPart(
  part: Conjunct,
  guards: readonly Constraint[],
  context: readonly Constraint[],
  alone: boolean,
  isFilled: Expr,
): Expr {
  if (alone) return conditionOf(guards);
  const queries = simplify(project([part], ["k.row"]), context);
  const only = queries[0];
  return queries.length === 1 && only !== undefined
    ? conditionOf(only.constraints)
    : mul(conditionOf(guards), isFilled);
}

/** Whether no key between two visible keys is invisible. */
function hasNoGap(seen: IntegerSet, context: readonly Constraint[]): boolean {
  const first = variable("k.row.first");
  const last = variable("k.row.last");
  const inside = where(less(first, KEY), less(KEY, last), context);
  return seen.every((a) =>
    seen.every((b) => {
      const ends = intersect(substitute([a], { "k.row": first }), substitute([b], { "k.row": last }));
      return isEmpty(subtract(intersect(ends, inside), seen));
    }),
  );
}
