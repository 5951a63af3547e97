/**
 * How much the algebra may work.
 *
 * Exact integer reasoning is exponential in the worst case. A caller opens a budget around an analysis; every combination of two
 * constraints spends one unit of it. Budgets nest (the inner one also spends from the outer), and without one the algebra is unlimited.
 */
import { relationDiagnostics } from "../../diagnostics/catalogue-relation.js";
import { label } from "../../diagnostics/define.js";
import { DiagnosticError } from "../../diagnostics/diagnostic.js";
import type { Span } from "../../source/source-file.js";

/** What to say when the budget is gone: the term that makes the analysis hard. */
export interface CostlyTerm {
  readonly text: string;
  readonly span?: Span;
}

interface Budget {
  left: number;
  readonly units: number;
  readonly analysis: string;
  readonly costly: () => CostlyTerm | undefined;
}

const open: Budget[] = [];

/** Runs an analysis within a budget; throws a DiagnosticError (PHD0405) that names the costly term when it is exceeded. */
export function withBudget<T>(
  options: { readonly units: number; readonly analysis: string; readonly costly?: () => CostlyTerm | undefined },
  compute: () => T,
): T {
  open.push({
    left: options.units,
    units: options.units,
    analysis: options.analysis,
    costly: options.costly ?? noTerm,
  });
  try {
    return compute();
  } finally {
    open.pop();
  }
}

const noTerm = () => undefined;

class AttemptEnded extends Error {}

/** Tries a computation that only improves a result; undefined when it would cost more than `units`. */
export function attempt<T>(units: number, compute: () => T): T | undefined {
  let ended: AttemptEnded | undefined;
  open.push({
    left: units,
    units,
    analysis: "",
    costly: () => {
      ended = new AttemptEnded();
      throw ended;
    },
  });
  try {
    return compute();
  } catch (error) {
    if (ended !== undefined && error === ended) return undefined;
    throw error;
  } finally {
    open.pop();
  }
}

/** Called by the solvers: one unit is about one pair of constraints. */
export function spend(units: number): void {
  for (const budget of open) {
    budget.left -= units;
    if (budget.left < 0) throw exceeded(budget);
  }
}

function exceeded(budget: Budget): DiagnosticError {
  const costly = budget.costly();
  const labels = costly?.span === undefined ? [] : [label(costly.span, "this term makes the analysis too costly")];
  const data = { analysis: budget.analysis, steps: budget.units, term: costly?.text };
  return new DiagnosticError([relationDiagnostics.analysisTooCostly(data, ...labels)]);
}

/** Guards a coefficient: every number of the algebra must be an exact integer. */
export function exactInteger(value: number): number {
  if (value > Number.MAX_SAFE_INTEGER || value < -Number.MAX_SAFE_INTEGER || Number.isNaN(value)) throw tooLarge();
  // Adding 0 turns -0 into 0, which prints and compares like every other integer.
  return value + 0;
}

/** An attempt ends here like one that has used up its budget. */
function tooLarge(): DiagnosticError {
  const costly = open.at(-1)?.costly();
  const labels = costly?.span === undefined ? [] : [label(costly.span, "this term has the largest numbers")];
  return new DiagnosticError([relationDiagnostics.integersTooLarge({ term: costly?.text }, ...labels)]);
}
