/**
 * The predicate of an `attend` as a set over `q.pos`, `q.copy`, `k.pos` and `k.copy`.
 */
import { unreachable } from "../../diagnostics/diagnostic.js";
import { type Affine, constant, floorOf, plus, remainderOf, scale, variable } from "./affine.js";
import { atMost, equal, type IntegerSet, intersect, less, nothing, union, universe, where } from "./integer-set.js";
import type { Comparison, Predicate, Term } from "./predicate.js";

/** Exact; the coordinates are not bounded to tokens that exist. */
export const setOfPredicate = (predicate: Predicate): IntegerSet => holding(predicate, true);

/** Where the predicate has the given value; negation moves inwards, so that no complement is needed. */
function holding(predicate: Predicate, value: boolean): IntegerSet {
  switch (predicate.kind) {
    case "constant":
      return predicate.value === value ? universe : nothing;
    case "compare": {
      const operator = value ? predicate.operator : opposite[predicate.operator];
      return compare(operator, formOfTerm(predicate.left), formOfTerm(predicate.right));
    }
    case "and":
    case "or": {
      const parts = predicate.parts.map((part) => holding(part, value));
      const isConjunction = (predicate.kind === "and") === value;
      return isConjunction ? parts.reduce(intersect, universe) : union(...parts);
    }
    case "not":
      return holding(predicate.part, !value);
    default:
      return unreachable(predicate);
  }
}

const opposite: Readonly<Record<Comparison, Comparison>> = {
  "==": "!=",
  "!=": "==",
  "<": ">=",
  "<=": ">",
  ">": "<=",
  ">=": "<",
};

function compare(operator: Comparison, left: Affine, right: Affine): IntegerSet {
  switch (operator) {
    case "==":
      return where(equal(left, right));
    case "!=":
      return union(where(less(left, right)), where(less(right, left)));
    case "<":
      return where(less(left, right));
    case "<=":
      return where(atMost(left, right));
    case ">":
      return where(less(right, left));
    case ">=":
      return where(atMost(right, left));
  }
}

export function formOfTerm(term: Term): Affine {
  switch (term.kind) {
    case "constant":
      return constant(term.value);
    case "coordinate":
      return variable(term.name);
    case "add":
      return plus(formOfTerm(term.left), formOfTerm(term.right));
    case "scale":
      return scale(formOfTerm(term.term), term.factor);
    case "div":
      return floorOf(formOfTerm(term.term), term.divisor);
    case "mod":
      return remainderOf(formOfTerm(term.term), term.divisor);
  }
}
