/**
 * Unions in parts that are as wide as they can be: `k.copy = 1 ∧ k.pos < q.pos ∪ own` is `k.copy = 1 ∧ k.pos <= q.pos ∪ own`.
 *
 * A part is as wide as it can be when none of its constraints can be loosened without leaving the union. However a union is cut into
 * parts, a part that holds a point which no other wide part holds is found from the piece with that point; so the parts of two
 * descriptions of one relation are nearly always the same. Every test is an exact integer test, so the union never changes.
 */
import { type Affine, type AffineTerm, combine, minus, shift } from "./affine.js";
import { type Conjunct, conjunct, opposites } from "./conjunct.js";
import { atLeastZero, boundsOf, type Constraint } from "./constraint.js";
import { type IntegerSet, intersect, isEmpty, isSubset, union, where } from "./integer-set.js";
import { simplifyConjunct } from "./simplify.js";

/** The same set at the points of the context, in few, wide and sorted parts. */
export function inWidestParts(set: IntegerSet, context: readonly Constraint[]): IntegerSet {
  const widened = (parts: IntegerSet) => {
    const wide = parts.map((part) => pin(widen(pin(part, context), set, context), context));
    return sorted(withoutCovered(wide, context));
  };
  let parts = widened(sorted(set));
  for (;;) {
    const wrapped = wrapOnce(parts, context);
    if (wrapped === undefined) return parts;
    parts = widened(wrapped);
  }
}

const sorted = (set: IntegerSet): IntegerSet =>
  [...union(set)].sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));

/** Puts the value in for a variable that part and context together leave one value, as `2 <= k.copy` does where K is 2. */
function pin(part: Conjunct, context: readonly Constraint[]): Conjunct {
  const both = conjunct([part.constraints, context]);
  const pinned =
    both?.constraints.filter((constraint) => {
      const { kind, form, linear } = constraint;
      return (
        kind === "zero" &&
        form.terms.length === 1 &&
        !context.some((known) => known.linear === linear && known.kind === "zero")
      );
    }) ?? [];
  const whole = pinned.length === 0 ? undefined : conjunct([part.constraints, pinned]);
  return whole === undefined ? part : (simplifyConjunct(whole) ?? part);
}

/** Loosens one constraint after the other as far as the part stays within the set. */
function widen(part: Conjunct, set: IntegerSet, context: readonly Constraint[]): Conjunct {
  const bounds = part.constraints.flatMap((constraint) =>
    boundsOf(constraint).map((bound) => ({ bound, isHalf: constraint.kind === "zero" })),
  );
  let kept = bounds.map(({ bound }) => bound);
  for (const { bound, isHalf } of bounds) {
    const others = kept.filter((constraint) => constraint !== bound);
    const beyond = (loosened: readonly Constraint[], of: Constraint) =>
      opposites(of).flatMap((outside) => where(others, loosened, outside, context));
    const isInside = (loosened: readonly Constraint[]) => isSubset(beyond(loosened, bound), set);
    const isIdle = () => isEmpty(opposites(bound).flatMap((outside) => where(others, outside)));
    // What the definition of a quotient implies stays beside its other half, so that both are an equality again.
    if (isInside([])) kept = isHalf && isIdle() ? [...others, bound] : others;
    // One position that becomes a few would be wider, but no simpler.
    else if (!isHalf) kept = [...others, moveIn(moveOut(bound, isInside), (from, to) => isEmpty(beyond([from], to)))];
  }
  const whole = conjunct([kept]);
  return (whole && simplifyConjunct(whole, context)) ?? part;
}

/** How far a bound may be moved is worth finding up to here only: past it lie bounds that mean nothing. */
const farthest = 1 << 12;

/** The same bound as far out as it may stand. */
function moveOut(bound: Constraint, isInside: (loosened: readonly Constraint[]) => boolean): Constraint {
  let [near, far] = [0, 1];
  while (far < farthest && isInside([moved(bound, far)])) [near, far] = [far, 2 * far];
  while (far - near > 1) {
    const middle = (near + far) >> 1;
    if (isInside([moved(bound, middle)])) near = middle;
    else far = middle;
  }
  return near === 0 ? bound : moved(bound, near);
}

/** How many values in a row a congruence may leave out before a bound. */
const widestGap = 16;

/** The same bound at the outermost value that some point has. */
function moveIn(bound: Constraint, isEmptyBetween: (from: Constraint, to: Constraint) => boolean): Constraint {
  let found = bound;
  for (let by = 1; by <= widestGap; by++) {
    const tighter = moved(bound, -by);
    if (!isEmptyBetween(found, tighter)) return found;
    found = tighter;
  }
  return bound;
}

const moved = (bound: Constraint, by: number): Constraint => ({ ...bound, form: shift(bound.form, by) });

/** Drops what the others cover. A part with a point of its own stays in any case; of the rest, as many as are needed. */
function withoutCovered(set: IntegerSet, context: readonly Constraint[]): IntegerSet {
  const all = sorted(set);
  const covers = (parts: IntegerSet, part: Conjunct) => isSubset(intersect([part], where(context)), parts);
  const needed = all.filter((part) => !covers(without(all, part), part));
  for (const part of all) if (!needed.includes(part) && !covers(needed, part)) needed.push(part);
  return needed;
}

const without = (set: IntegerSet, part: Conjunct) => set.filter((other) => other !== part);

/**
 * Joins two parts along a step: `0 < u ∪ 0 <= u ∧ 0 <= v` is `0 <= factor · u + v` for every factor that outweighs v, where the context
 * bounds v. The order of copies within a position is such a step, and the order of the stream is what it becomes.
 */
function wrapOnce(set: IntegerSet, context: readonly Constraint[]): IntegerSet | undefined {
  for (const inner of set) {
    for (const outer of set) {
      const wrapped = inner === outer ? undefined : wrap(inner, outer, context);
      if (wrapped !== undefined) return [...set.filter((part) => part !== inner && part !== outer), wrapped];
    }
  }
  return undefined;
}

function wrap(inner: Conjunct, outer: Conjunct, context: readonly Constraint[]): Conjunct | undefined {
  for (const step of inner.constraints) {
    const before = outer.constraints.find(
      ({ kind, form }) => kind === step.kind && sameForm(form, shift(step.form, 1)),
    );
    if (before === undefined) continue;
    const [tie, ...more] = outer.constraints.filter((constraint) => constraint !== before && !holds(inner, constraint));
    if (tie === undefined || more.length > 0 || tie.kind !== "at-least-zero") continue;
    const range = rangeOf(tie.form, context);
    if (range === undefined) continue;
    // Where u is one step inside, v may be as low as it gets; one step outside, as high.
    const factor = Math.max(1, -range.least, range.most + 1);
    const shared = inner.constraints.filter((constraint) => constraint !== step);
    const whole = conjunct([shared, atLeastZero(combine(before.form, factor, tie.form, 1))]);
    if (whole === undefined) continue;
    const inContext = (parts: IntegerSet) => intersect(parts, where(context));
    const isUnion = isSubset(inContext([inner, outer]), [whole]) && isSubset(inContext([whole]), [inner, outer]);
    if (isUnion) return whole;
  }
  return undefined;
}

const sameForm = (left: Affine, right: Affine) => {
  const difference = minus(left, right);
  return difference.terms.length === 0 && difference.constant === 0;
};

const holds = (part: Conjunct, constraint: Constraint) => isSubset([part], where([constraint]));

/** Least and greatest value of a form whose every term the context bounds on both sides. */
function rangeOf(
  form: Affine,
  context: readonly Constraint[],
): { readonly least: number; readonly most: number } | undefined {
  let [least, most] = [form.constant, form.constant];
  for (const term of form.terms) {
    const low = boundOf(term, 1, context);
    const high = boundOf(term, -1, context);
    if (low === undefined || high === undefined) return undefined;
    least += Math.min(term.factor * low, term.factor * high);
    most += Math.max(term.factor * low, term.factor * high);
  }
  return { least, most };
}

/** The bound of an atom that a constraint about it alone states, from below (1) or above (-1). */
function boundOf({ atom }: AffineTerm, side: 1 | -1, context: readonly Constraint[]): number | undefined {
  for (const { kind, form } of context) {
    const [only, ...more] = form.terms;
    if (kind === "at-least-zero" && only?.atom.key === atom.key && more.length === 0 && only.factor === side)
      return side * -form.constant;
  }
  return undefined;
}
