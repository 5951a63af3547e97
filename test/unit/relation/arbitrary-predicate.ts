/** Random predicates of the quasi-affine fragment, small enough for brute force. */
import fc from "fast-check";
import type { Comparison, Coordinate, Predicate, Term } from "../../../src/ir/relation/predicate.js";

export const num = (value: number): Term => ({ kind: "constant", value });
export const at = (name: Coordinate): Term => ({ kind: "coordinate", name });
export const plus = (left: Term, right: Term): Term => ({ kind: "add", left, right });
export const times = (factor: number, term: Term): Term => ({ kind: "scale", factor, term });
export const minus = (left: Term, right: Term): Term => plus(left, times(-1, right));
export const div = (term: Term, divisor: number): Term => ({ kind: "div", term, divisor });
export const mod = (term: Term, divisor: number): Term => ({ kind: "mod", term, divisor });
export const compare = (left: Term, operator: Comparison, right: Term): Predicate => ({
  kind: "compare",
  operator,
  left,
  right,
});
export const and = (...parts: Predicate[]): Predicate => ({ kind: "and", parts });
export const or = (...parts: Predicate[]): Predicate => ({ kind: "or", parts });
export const not = (part: Predicate): Predicate => ({ kind: "not", part });

const coordinate = fc.constantFrom<Coordinate>("q.pos", "q.copy", "k.pos", "k.copy").map(at);

const leaf = fc.oneof({ weight: 3, arbitrary: coordinate }, fc.integer({ min: -3, max: 6 }).map(num));

const difference: fc.Arbitrary<Term> = fc.constantFrom(
  minus(at("q.pos"), at("k.pos")),
  minus(at("q.copy"), at("k.copy")),
);

const linear: fc.Arbitrary<Term> = fc.oneof(
  { weight: 4, arbitrary: leaf },
  { weight: 3, arbitrary: difference },
  { weight: 2, arbitrary: fc.tuple(leaf, leaf).map(([a, b]) => plus(a, b)) },
  {
    weight: 2,
    arbitrary: fc.tuple(fc.integer({ min: -3, max: 3 }), leaf, leaf).map(([f, a, b]) => plus(times(f, a), b)),
  },
);

const quasi: fc.Arbitrary<Term> = fc.oneof(
  { weight: 5, arbitrary: linear },
  { weight: 1, arbitrary: fc.tuple(linear, fc.integer({ min: 2, max: 5 })).map(([t, d]) => div(t, d)) },
  { weight: 1, arbitrary: fc.tuple(linear, fc.integer({ min: 2, max: 5 })).map(([t, d]) => mod(t, d)) },
);

const comparison = fc
  .tuple(quasi, fc.constantFrom<Comparison>("==", "!=", "<", "<=", ">", ">="), quasi)
  .map(([left, operator, right]) => compare(left, operator, right));

const junction = (inner: fc.Arbitrary<Predicate>): fc.Arbitrary<Predicate> =>
  fc.oneof(
    { weight: 3, arbitrary: inner },
    { weight: 2, arbitrary: fc.array(inner, { minLength: 2, maxLength: 3 }).map((parts) => and(...parts)) },
    { weight: 2, arbitrary: fc.array(inner, { minLength: 2, maxLength: 3 }).map((parts) => or(...parts)) },
    { weight: 1, arbitrary: inner.map(not) },
  );

/** Any predicate of the fragment, with up to about nine comparisons. */
export const arbitraryPredicate: fc.Arbitrary<Predicate> = junction(junction(comparison));

/** A predicate that lets no query see a later position, and every query see itself. */
export const arbitraryCausalPredicate: fc.Arbitrary<Predicate> = arbitraryPredicate.map((predicate) =>
  or(
    and(predicate, compare(at("k.pos"), "<=", at("q.pos"))),
    and(compare(at("k.pos"), "==", at("q.pos")), compare(at("k.copy"), "==", at("q.copy"))),
  ),
);
