/**
 * One way to write a relation, whatever way the model wrote it.
 *
 * The predicate becomes a union of conjunctions of linear comparisons, simplified by what is true of all tokens, as wide as they can be
 * and sorted. Expressions that mean the same nearly always become the same text, so renaming a rule or rephrasing it changes neither
 * plan nor kernels.
 */
import { unreachable } from "../../diagnostics/diagnostic.js";
import type { Affine, Atom } from "../../ir/relation/affine.js";
import type { Conjunct } from "../../ir/relation/conjunct.js";
import type { Constraint } from "../../ir/relation/constraint.js";
import { setOfPredicate } from "../../ir/relation/from-predicate.js";
import { type IntegerSet, simplify } from "../../ir/relation/integer-set.js";
import type { Coordinate, Predicate, Term } from "../../ir/relation/predicate.js";
import { inWidestParts } from "../../ir/relation/widest.js";
import { attempt } from "../../ir/relation/work.js";
import { tokenContext } from "./token-context.js";

/** Steps of the algebra that a simplification may take; a relation that needs more stays as it was written. */
const mostSteps = 200_000;

export function normalForm(predicate: Predicate, copies: number): Predicate {
  const context = tokenContext(copies);
  const simplified = attempt(mostSteps, () => inWidestParts(simplify(setOfPredicate(predicate), context), context));
  if (simplified === undefined) return predicate;
  // Reports about the relation as a whole still point at its text.
  return { ...predicateOfSet(simplified), ...(predicate.span && { span: predicate.span }) };
}

function predicateOfSet(set: IntegerSet): Predicate {
  if (set.length === 0) return { kind: "constant", value: false };
  const parts = set.map(predicateOfConjunct);
  return parts.length === 1 ? parts[0]! : { kind: "or", parts };
}

function predicateOfConjunct({ constraints }: Conjunct): Predicate {
  if (constraints.length === 0) return { kind: "constant", value: true };
  const parts = constraints.map(predicateOfConstraint);
  return parts.length === 1 ? parts[0]! : { kind: "and", parts };
}

/** form >= 0 as `what is subtracted <= what is added`, so that no factor is negative. */
function predicateOfConstraint({ kind, form }: Constraint): Predicate {
  const strict = kind === "at-least-zero" && form.constant === -1;
  const left = sideOf(form, -1, strict ? 0 : Math.max(0, -form.constant));
  const right = sideOf(form, 1, strict ? 0 : Math.max(0, form.constant));
  if (kind === "zero") {
    // Constants stand on the right, as people write them.
    const [first, second] = left.kind === "constant" ? [right, left] : [left, right];
    return { kind: "compare", operator: "==", left: first, right: second };
  }
  return { kind: "compare", operator: strict ? "<" : "<=", left, right };
}

/** The terms of one sign, with their sizes as factors, plus a constant. */
function sideOf(form: Affine, sign: 1 | -1, rest: number): Term {
  const terms = form.terms
    .filter(({ factor }) => Math.sign(factor) === sign)
    .map(({ atom, factor }): Term => {
      const size = Math.abs(factor);
      return size === 1 ? termOfAtom(atom) : { kind: "scale", factor: size, term: termOfAtom(atom) };
    });
  if (rest !== 0 || terms.length === 0) terms.push({ kind: "constant", value: rest });
  return terms.reduce((left, right) => ({ kind: "add", left, right }));
}

function termOfAtom(atom: Atom): Term {
  switch (atom.kind) {
    case "variable":
      return { kind: "coordinate", name: atom.key as Coordinate };
    case "floor":
      return { kind: "div", term: termOfForm(atom.numerator), divisor: atom.divisor };
    default:
      return unreachable(atom);
  }
}

function termOfForm(form: Affine): Term {
  const terms = form.terms.map(
    ({ atom, factor }): Term => (factor === 1 ? termOfAtom(atom) : { kind: "scale", factor, term: termOfAtom(atom) }),
  );
  if (form.constant !== 0 || terms.length === 0) terms.push({ kind: "constant", value: form.constant });
  return terms.reduce((left, right) => ({ kind: "add", left, right }));
}
