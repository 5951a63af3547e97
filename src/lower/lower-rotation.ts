/** The index of a rotation: one expression over `pos` and one over `copy`, whose values add up. */
import { unreachable } from "../diagnostics/diagnostic.js";
import { add, div, type Expr, mod, mul } from "../ir/expr.js";
import type { RopeIndex } from "../ir/graph/ops.js";
import type { Term } from "../ir/relation/predicate.js";

/** The checker has made sure that no `div` or `mod` stands over both coordinates, so the sum comes apart. */
export function lowerRotation(index: Term): RopeIndex {
  const parts = summands(index, 1);
  const sumOf = (wanted: boolean) =>
    add(
      ...parts.filter(({ term }) => mentionsCopy(term) === wanted).map(({ term, factor }) => mul(factor, toExpr(term))),
    );
  return { byPos: sumOf(false), byCopy: sumOf(true) };
}

interface Summand {
  readonly term: Term;
  readonly factor: number;
}

function summands(term: Term, factor: number): Summand[] {
  switch (term.kind) {
    case "add":
      return [...summands(term.left, factor), ...summands(term.right, factor)];
    case "scale":
      return summands(term.term, factor * term.factor);
    default:
      return [{ term, factor }];
  }
}

function mentionsCopy(term: Term): boolean {
  switch (term.kind) {
    case "constant":
      return false;
    case "coordinate":
      return term.name === "q.copy";
    case "add":
      return mentionsCopy(term.left) || mentionsCopy(term.right);
    default:
      return mentionsCopy(term.term);
  }
}

function toExpr(term: Term): Expr {
  switch (term.kind) {
    case "constant":
      return term.value;
    case "coordinate":
      return term.name === "q.copy" ? "copy" : "pos";
    case "add":
      return add(toExpr(term.left), toExpr(term.right));
    case "scale":
      return mul(term.factor, toExpr(term.term));
    case "div":
      return div(toExpr(term.term), term.divisor);
    case "mod":
      return mod(toExpr(term.term), term.divisor);
    default:
      return unreachable(term);
  }
}
