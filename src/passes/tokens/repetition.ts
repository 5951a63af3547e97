/**
 * Whether a relation repeats along the positions: who sees whom is the same so many positions later, for the query and the key.
 *
 * Windows and chunks do, rules about the first positions do not. A comparison of such a relation depends on a query's and a key's place in
 * the period and on the distance between them; from some distance on it depends on the places alone.
 */
import { type Affine, floorDiv, gcd, minus } from "../../ir/relation/affine.js";
import { formOfTerm } from "../../ir/relation/from-predicate.js";
import type { Predicate } from "../../ir/relation/predicate.js";
import { leastCommonMultiple } from "./period-of.js";

export interface Repetition {
  /** In positions. */
  readonly period: number;
  /** Positions between query and key from which on their places in the period decide alone. A multiple of the period. */
  readonly reach: number;
}

/** What repeats of all the relations together, undefined where one of them does not. */
export function repetitionOf(predicates: readonly Predicate[], copies: number): Repetition | undefined {
  const forms = predicates.flatMap(comparedForms);
  const periods = forms.flatMap((form) => [stepOf(form, "q.pos"), stepOf(form, "k.pos")]);
  const period = periods.reduce(leastCommonMultiple, 1);
  let reach = 0;
  for (const form of forms) {
    const rise = riseOf(form, "q.pos", period);
    if (rise + riseOf(form, "k.pos", period) !== 0) return undefined;
    if (rise === 0) continue;
    const { least, most } = rangeOf(form, period, copies);
    const periodsApart = floorDiv(Math.max(Math.abs(least), Math.abs(most)), Math.abs(rise)) + 2;
    reach = Math.max(reach, period * periodsApart);
  }
  return { period, reach };
}

/** Left side minus right side of every comparison. */
function comparedForms(predicate: Predicate): Affine[] {
  switch (predicate.kind) {
    case "constant":
      return [];
    case "compare":
      return [minus(formOfTerm(predicate.left), formOfTerm(predicate.right))];
    case "not":
      return comparedForms(predicate.part);
    case "and":
    case "or":
      return predicate.parts.flatMap(comparedForms);
  }
}

/** By how much a variable has to rise, so that no rounding inside the form comes out differently. */
function stepOf({ terms }: Affine, name: string): number {
  return terms.reduce((step, { atom }) => {
    if (atom.kind === "variable") return step;
    const inside = stepOf(atom.numerator, name);
    const rise = riseOf(atom.numerator, name, inside);
    return leastCommonMultiple(step, (inside * atom.divisor) / gcd(rise, atom.divisor));
  }, 1);
}

/** By how much the form rises when a variable rises by a multiple of its step. */
function riseOf({ terms }: Affine, name: string, by: number): number {
  return terms.reduce((total, { atom, factor }) => {
    if (atom.kind === "floor") return total + (factor * riseOf(atom.numerator, name, by)) / atom.divisor;
    return atom.key === name ? total + factor * by : total;
  }, 0);
}

/** Bounds of a form for positions within one period. */
function rangeOf(form: Affine, period: number, copies: number): { readonly least: number; readonly most: number } {
  let [least, most] = [form.constant, form.constant];
  for (const { atom, factor } of form.terms) {
    const [low, high] = boundsOf(atom, period, copies);
    least += Math.min(factor * low, factor * high);
    most += Math.max(factor * low, factor * high);
  }
  return { least, most };
}

function boundsOf(atom: Affine["terms"][number]["atom"], period: number, copies: number): readonly [number, number] {
  if (atom.kind === "variable") return atom.key.endsWith(".pos") ? [0, period - 1] : [1, copies];
  const { least, most } = rangeOf(atom.numerator, period, copies);
  return [floorDiv(least, atom.divisor), floorDiv(most, atom.divisor)];
}
