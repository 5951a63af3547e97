/**
 * The predicate of `attend q -> k when …`, closed: parameters are numbers, rules and indexes are inlined.
 *
 * This is what the checker hands to `build-masks`, and the only description of a variant that the compiler ever sees.
 * Coordinates: `pos` counts positions from 0, `copy` counts copies from 1 to K. Division is floor division by a positive
 * constant, `mod` is its non-negative remainder.
 */
import type { Span } from "../../source/source-file.js";

export type Coordinate = "q.pos" | "q.copy" | "k.pos" | "k.copy";

export type Term =
  | { readonly kind: "constant"; readonly value: number; readonly span?: Span }
  | { readonly kind: "coordinate"; readonly name: Coordinate; readonly span?: Span }
  | { readonly kind: "add"; readonly left: Term; readonly right: Term; readonly span?: Span }
  | { readonly kind: "scale"; readonly factor: number; readonly term: Term; readonly span?: Span }
  | { readonly kind: "div"; readonly term: Term; readonly divisor: number; readonly span?: Span }
  | { readonly kind: "mod"; readonly term: Term; readonly divisor: number; readonly span?: Span };

export type Comparison = "==" | "!=" | "<" | "<=" | ">" | ">=";

export type Predicate =
  | { readonly kind: "constant"; readonly value: boolean; readonly span?: Span }
  | {
      readonly kind: "compare";
      readonly operator: Comparison;
      readonly left: Term;
      readonly right: Term;
      readonly span?: Span;
    }
  | { readonly kind: "and"; readonly parts: readonly Predicate[]; readonly span?: Span }
  | { readonly kind: "or"; readonly parts: readonly Predicate[]; readonly span?: Span }
  | { readonly kind: "not"; readonly part: Predicate; readonly span?: Span };

/** One copy of one position. */
export interface Token {
  /** From 0. */
  readonly pos: number;
  /** From 1 (the original) to K. */
  readonly copy: number;
}

/** The value of a term at one pair of tokens; the definition that every analysis is tested against. */
function evaluateTerm(term: Term, query: Token, key: Token): number {
  switch (term.kind) {
    case "constant":
      return term.value;
    case "coordinate":
      return term.name === "q.pos"
        ? query.pos
        : term.name === "q.copy"
          ? query.copy
          : term.name === "k.pos"
            ? key.pos
            : key.copy;
    case "add":
      return evaluateTerm(term.left, query, key) + evaluateTerm(term.right, query, key);
    case "scale":
      return term.factor * evaluateTerm(term.term, query, key);
    case "div":
      return Math.floor(evaluateTerm(term.term, query, key) / term.divisor);
    case "mod": {
      const value = evaluateTerm(term.term, query, key);
      return value - term.divisor * Math.floor(value / term.divisor);
    }
  }
}

/** Whether the query token sees the key token. */
export function sees(predicate: Predicate, query: Token, key: Token): boolean {
  switch (predicate.kind) {
    case "constant":
      return predicate.value;
    case "compare":
      return compareNumbers(
        predicate.operator,
        evaluateTerm(predicate.left, query, key),
        evaluateTerm(predicate.right, query, key),
      );
    case "and":
      return predicate.parts.every((part) => sees(part, query, key));
    case "or":
      return predicate.parts.some((part) => sees(part, query, key));
    case "not":
      return !sees(predicate.part, query, key);
  }
}

export function compareNumbers(operator: Comparison, left: number, right: number): boolean {
  switch (operator) {
    case "==":
      return left === right;
    case "!=":
      return left !== right;
    case "<":
      return left < right;
    case "<=":
      return left <= right;
    case ">":
      return left > right;
    case ">=":
      return left >= right;
  }
}
