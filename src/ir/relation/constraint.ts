/**
 * One constraint over quasi-affine forms, in normal form.
 *
 * Constraints that mean the same should look the same, so that parallel ones are recognised by their text. A bound on a floor is
 * therefore rewritten into a bound on its numerator (`⌊x/4⌋ <= y` is `x <= 4y + 3`), which also makes most floors disappear.
 */
import {
  type Affine,
  type AffineTerm,
  type Atom,
  combine,
  floorDiv,
  floorOf,
  gcd,
  keyOf,
  linearKey,
  negate,
  plus,
  scale,
  shift,
} from "./affine.js";

export interface Constraint {
  readonly kind: "at-least-zero" | "zero";
  readonly form: Affine;
  /** The form without its constant, as text. */
  readonly linear: string;
}

/** What a constraint comes to: constraints that must all hold, or that it never holds. */
export type Normalized = readonly Constraint[] | "never";

/**
 * The order in which variables are solved for: keys in terms of queries, queries in terms of symbols.
 *
 * A constraint between two floors is rewritten to bound the one of higher rank.
 */
function rankOfVariable(name: string): number {
  if (name.startsWith("k.") || name.startsWith("row")) return 3;
  if (name.startsWith("q.") || name.startsWith("q_")) return 2;
  return 1;
}

export function rankOf(atom: Atom): number {
  if (atom.kind === "variable") return rankOfVariable(atom.key);
  return atom.numerator.terms.reduce((top, term) => Math.max(top, rankOf(term.atom)), 0);
}

/** form >= 0. */
export function atLeastZero(form: Affine): Normalized {
  let content = 0;
  for (const term of form.terms) content = gcd(content, term.factor);
  if (content === 0) return form.constant >= 0 ? [] : "never";
  const tight: Affine =
    content === 1
      ? form
      : {
          terms: form.terms.map((term) => ({ atom: term.atom, factor: term.factor / content })),
          constant: floorDiv(form.constant, content),
        };
  const floor = floorToRemove(tight);
  if (floor === undefined) return [{ kind: "at-least-zero", form: tight, linear: linearKey(tight) }];
  return atLeastZero(withoutFloor(tight, floor));
}

/** form = 0. */
export function equalZero(form: Affine): Normalized {
  let content = 0;
  for (const term of form.terms) content = gcd(content, term.factor);
  if (content === 0) return form.constant === 0 ? [] : "never";
  if (form.constant % content !== 0) return "never";
  // The first factor is positive, so that an equality and its negation look the same.
  const sign = form.terms[0]!.factor < 0 ? -content : content;
  const tight: Affine =
    sign === 1
      ? form
      : {
          terms: form.terms.map((term) => ({ atom: term.atom, factor: term.factor / sign })),
          constant: form.constant / sign,
        };
  const floor = tight.terms.find(({ atom, factor }) => atom.kind === "floor" && Math.abs(factor) === 1);
  if (floor !== undefined && floorToRemove(tight) !== undefined) {
    const above = atLeastZero(tight);
    const below = atLeastZero(negate(tight));
    return above === "never" || below === "never" ? "never" : [...above, ...below];
  }
  return [{ kind: "zero", form: tight, linear: linearKey(tight) }];
}

/** The bounds that a constraint comes to: an equality is two, of which one may hold without the other. */
export function boundsOf(constraint: Constraint): readonly Constraint[] {
  if (constraint.kind === "at-least-zero") return [constraint];
  return [constraint.form, negate(constraint.form)].flatMap((form) => {
    const bound = atLeastZero(form);
    return bound === "never" ? [] : bound;
  });
}

/** The floor of highest rank that can be bounded by the rest of the form: it has a unit factor, or stands alone at the top. */
function floorToRemove(form: Affine): AffineTerm | undefined {
  let best: AffineTerm | undefined;
  let bestRank = 0;
  let top = 0;
  let atTop = 0;
  for (const term of form.terms) {
    const rank = rankOf(term.atom);
    if (rank > top) {
      top = rank;
      atTop = 1;
    } else if (rank === top) atTop++;
  }
  for (const term of form.terms) {
    if (term.atom.kind !== "floor") continue;
    const rank = rankOf(term.atom);
    const unit = term.factor === 1 || term.factor === -1;
    if (!unit && !(rank === top && atTop === 1)) continue;
    if (best === undefined || rank > bestRank) {
      best = term;
      bestRank = rank;
    }
  }
  return best;
}

/** A form that is at least 0 exactly when the given one is, without one of its floors. */
function withoutFloor(form: Affine, { atom, factor }: AffineTerm): Affine {
  if (atom.kind !== "floor") return form;
  const others: Affine = { terms: form.terms.filter((term) => term.atom !== atom), constant: form.constant };
  const size = Math.abs(factor);
  // size·e + others >= 0 is e >= ⌈-others / size⌉, and likewise from above: both leave ± e + ⌊others / size⌋ >= 0.
  const rest = floorOf(others, size);
  const bound = scale(rest, atom.divisor);
  return factor > 0 ? plus(atom.numerator, bound) : shift(combine(bound, 1, atom.numerator, -1), atom.divisor - 1);
}

export const constraintKey = (constraint: Constraint): string =>
  `${keyOf(constraint.form)}${constraint.kind === "zero" ? "=0" : ">=0"}`;
