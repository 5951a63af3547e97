/**
 * The budget of the analyses of one model, and whom to blame when it is exceeded.
 */
import type { Predicate, Term } from "../../ir/relation/predicate.js";
import { printPredicate } from "../../ir/relation/print-predicate.js";
import { type CostlyTerm, withBudget } from "../../ir/relation/work.js";
import type { AttentionSystem } from "./attention-system.js";

/** About two seconds on a small machine; library variants need less than a hundredth of it. */
const mostUnits = 1_000_000;

export function withinBudget<T>(system: AttentionSystem, analysis: string, compute: () => T): T {
  return withBudget({ units: mostUnits, analysis, costly: () => costliestTerm(system.predicates) }, compute);
}

/** The comparison that makes exact reasoning hardest: most roundings, then the largest divisors and factors. */
export function costliestTerm(predicates: readonly Predicate[]): CostlyTerm | undefined {
  let best: Predicate | undefined;
  let bestCost = -1;
  for (const comparison of predicates.flatMap(comparisonsOf)) {
    const cost = costOf(comparison.left) + costOf(comparison.right);
    if (cost <= bestCost) continue;
    best = comparison;
    bestCost = cost;
  }
  if (best === undefined) return undefined;
  return best.span === undefined ? { text: printPredicate(best) } : { text: printPredicate(best), span: best.span };
}

type ComparisonOf = Extract<Predicate, { kind: "compare" }>;

function comparisonsOf(predicate: Predicate): ComparisonOf[] {
  switch (predicate.kind) {
    case "constant":
      return [];
    case "compare":
      return [predicate];
    case "not":
      return comparisonsOf(predicate.part);
    case "and":
    case "or":
      return predicate.parts.flatMap(comparisonsOf);
  }
}

function costOf(term: Term): number {
  switch (term.kind) {
    case "constant":
      return 0;
    case "coordinate":
      return 1;
    case "add":
      return costOf(term.left) + costOf(term.right);
    case "scale":
      return costOf(term.term) + Math.log2(1 + Math.abs(term.factor));
    case "div":
    case "mod":
      return costOf(term.term) + 20 + Math.log2(term.divisor);
  }
}
