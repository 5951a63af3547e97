/**
 * Which keys of a group a query has to visit: the bounds of a kernel's loop over keys.
 *
 * The bounds are the hull of what the relation lets the query see, so they are sound by construction. Where the algebra proves that
 * everything between them is visible, the kernel needs no mask.
 */
import { add, type Expr, le, max, min, mul, select } from "../../ir/expr.js";
import { constant, factorOf, negate, scale, shift, toExpr, variable } from "../../ir/relation/affine.js";
import type { Conjunct } from "../../ir/relation/conjunct.js";
import { atLeastZero, type Constraint } from "../../ir/relation/constraint.js";
import { setOfPredicate } from "../../ir/relation/from-predicate.js";
import {
  atMost,
  contextOf,
  type IntegerSet,
  intersect,
  isEmpty,
  isSubset,
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
import { copiesIn } from "../../runtime/key-group.js";
import { KEY, keyCoordinates, rowsBetween } from "./group-relation.js";
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
const mostUnits = 300_000;

/** Sound for every relation in which no query sees a later position. */
export function keyBounds(predicate: Predicate, copies: number, group: KeyGroup): KeyBounds {
  const allSoFar: KeyBounds = { lo: 0, hi: endOfQuery(group), exact: false };
  return attempt(mostUnits, () => tightBounds(predicate, copies, group)) ?? allSoFar;
}

/** One past the last key of the query's own position. */
const endOfQuery = (group: KeyGroup): Expr => toExpr(scale(shift(POS, 1), copiesIn(group)));

function tightBounds(predicate: Predicate, copies: number, group: KeyGroup): KeyBounds {
  const context = contextOf(atMost(constant(0), POS), atMost(constant(1), COPY), atMost(COPY, constant(copies)));
  const seen = seenKeys(predicate, group, context);
  if (seen.length === 0) return { lo: 0, hi: 0, exact: true, empty: true };
  const parts = seen.map((part) => boundsOfPart(part, group, context));
  const { lo, hi } = hullOf(parts, simplify(project(seen, ["k.row"]), context));
  const isWhole = () => parts.length === 1 || attempt(50_000, () => hasNoGap(seen, context)) === true;
  return { lo, hi, exact: parts.every((part) => !part.hasHoles) && isWhole() };
}

/** Pairs of a query (q_pos, q_copy) and a key row (k.row) of its own or an earlier position. */
function seenKeys(predicate: Predicate, group: KeyGroup, context: readonly Constraint[]): IntegerSet {
  const relation = substitute(setOfPredicate(predicate), { "q.pos": POS, "q.copy": COPY, ...keyCoordinates(group) });
  const exist = rowsBetween(group, constant(0), shift(POS, 1));
  return simplify(intersect(intersect(relation, exist), where(context)), context);
}

/** The keys of one disjunct. */
interface PartBounds {
  readonly lo: Expr;
  readonly hi: Expr;
  /** What it asks of the query alone. */
  readonly guard: Expr;
  /** The queries for which it has a key, as a set and as a condition. */
  readonly queries: IntegerSet;
  readonly condition: Expr;
  /** What it asks of k.row from below, and from above. */
  readonly below: Conjunct;
  readonly above: Conjunct;
  /** Some keys between the bounds may not be in the part. */
  readonly hasHoles: boolean;
}

function boundsOfPart(part: Conjunct, group: KeyGroup, context: readonly Constraint[]): PartBounds {
  const { lower, upper, bounds, guards, filters } = intervalOf(part, "k.row");
  // Where some bounds are implied by filters only, the listed ones may leave the keys that exist.
  const exist = rowsBetween(group, constant(0), shift(POS, 1));
  const isWithinKeys = filters.length === 0 || isSubset(where(bounds, guards, context), exist);
  const lo = isWithinKeys ? largest(lower) : largest([...lower, 0]);
  const hi = isWithinKeys ? smallest(upper) : smallest([...upper, endOfQuery(group)]);
  const queries = simplify(project([part], ["k.row"]), context);
  const guard = conditionOf(guards);
  return {
    lo,
    hi,
    guard,
    queries,
    condition: conditionOfQueries(queries) ?? mul(guard, le(add(lo, 1), hi)),
    below: oneSide(bounds, 1),
    above: oneSide(bounds, -1),
    hasHoles: filters.length > 0,
  };
}

/** The bounds of k.row from below (1) or from above (-1); an equality has one of each. */
function oneSide(bounds: readonly Constraint[], side: 1 | -1): Conjunct {
  const forms = bounds.flatMap(({ kind, form }) => {
    const isMeant = Math.sign(factorOf(form, "k.row")) === side;
    return isMeant ? [form] : kind === "zero" ? [negate(form)] : [];
  });
  return { constraints: contextOf(...forms.map(atLeastZero)), key: "" };
}

/** A set of queries as a condition, where it is one conjunct. */
function conditionOfQueries(queries: IntegerSet): Expr | undefined {
  return queries.length === 1 ? conditionOf(queries[0]!.constraints) : undefined;
}

/** The hull of the parts that have a key; hi is not above lo for queries outside of `all`. */
function hullOf(parts: readonly PartBounds[], all: IntegerSet): { readonly lo: Expr; readonly hi: Expr } {
  const [only] = parts;
  if (parts.length === 1 && only !== undefined) {
    // Where only the bounds leave no key, they are crossed and say so themselves.
    return { lo: select(only.guard, only.lo, 0), hi: select(only.guard, only.hi, 0) };
  }
  const main = parts.find((part) => isSubset(all, part.queries));
  const condition = conditionOfQueries(all);
  if (main === undefined || condition === undefined) return guardedHull(parts);
  const lo = extremesOf(main, parts, all, "below").map(({ part, holds }) => select(holds, part.lo, main.lo));
  const hi = extremesOf(main, parts, all, "above").map(({ part, holds }) => select(holds, part.hi, main.hi));
  return { lo: select(condition, min(...lo), 0), hi: select(condition, max(...hi), 0) };
}

/**
 * The parts that reach farthest on one side for some query, where `main` has a key for all of them.
 *
 * `holds` is 1 where a part's bound may stand even for queries for which it has no key, because it does not reach beyond main's.
 */
function extremesOf(
  main: PartBounds,
  parts: readonly PartBounds[],
  all: IntegerSet,
  side: "below" | "above",
): { readonly part: PartBounds; readonly holds: Expr }[] {
  const beyond = parts.filter((part) => part !== main && !isWithin(part[side], all, main[side]));
  const extremes = beyond.map((part) => {
    const absent = subtract(all, part.queries);
    return { part, holds: isWithin(part[side], absent, main[side]) ? 1 : part.condition };
  });
  const isCovered = beyond.some((part) => isSubset(all, part.queries) && isWithin(main[side], all, part[side]));
  return isCovered ? extremes : [{ part: main, holds: 1 }, ...extremes];
}

/** Every part under its own condition: hi is 0 without any, and lo is hi. */
function guardedHull(parts: readonly PartBounds[]): { readonly lo: Expr; readonly hi: Expr } {
  const hi = max(...parts.map((part) => select(part.condition, part.hi, 0)));
  return { lo: min(...parts.map((part) => select(part.condition, part.lo, hi))), hi };
}

/** Whether, for the given queries, every key row that meets some bounds meets the others. */
function isWithin(bounds: Conjunct, queries: IntegerSet, others: Conjunct): boolean {
  return isSubset(intersect([bounds], queries), [others]);
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
