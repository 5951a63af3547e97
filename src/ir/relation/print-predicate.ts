/**
 * Predicates as the text that a user could have written after `when`.
 */
import type { Predicate, Term } from "./predicate.js";

export function printPredicate(predicate: Predicate): string {
  return print(predicate, 0);
}

/** `outer` is how tightly the surroundings bind: 0 for `or`, 1 for `and`, 2 for `not`. */
function print(predicate: Predicate, outer: number): string {
  switch (predicate.kind) {
    case "constant":
      return predicate.value ? "0 == 0" : "0 == 1";
    case "compare":
      return `${printTerm(predicate.left)} ${predicate.operator} ${printTerm(predicate.right)}`;
    case "and":
    case "or": {
      if (predicate.parts.length === 0) return predicate.kind === "and" ? "0 == 0" : "0 == 1";
      const level = predicate.kind === "or" ? 0 : 1;
      const text = predicate.parts.map((part) => print(part, level)).join(` ${predicate.kind} `);
      return level < outer && predicate.parts.length > 1 ? `(${text})` : text;
    }
    case "not":
      return `not ${predicate.part.kind === "compare" ? `(${print(predicate.part, 0)})` : print(predicate.part, 2)}`;
  }
}

/** A sum of products, subtractions where factors are negative. */
export function printTerm(term: Term): string {
  switch (term.kind) {
    case "constant":
      return String(term.value);
    case "coordinate":
      return term.name;
    case "add": {
      const right = term.right;
      if (right.kind === "constant" && right.value < 0) return `${printTerm(term.left)} - ${-right.value}`;
      if (right.kind === "scale" && right.factor < 0) {
        return `${printTerm(term.left)} - ${printProduct(-right.factor, right.term)}`;
      }
      return `${printTerm(term.left)} + ${printTerm(right)}`;
    }
    case "scale":
      return printProduct(term.factor, term.term);
    case "div":
    case "mod":
      return `${printFactor(term.term)} ${term.kind} ${term.divisor}`;
  }
}

function printProduct(factor: number, term: Term): string {
  return factor === 1 ? printFactor(term) : `${factor} * ${printFactor(term)}`;
}

function printFactor(term: Term): string {
  return term.kind === "constant" || term.kind === "coordinate" ? printTerm(term) : `(${printTerm(term)})`;
}
