/**
 * Whether a system of linear constraints has an integer solution: Pugh's Omega test.
 *
 * Equalities go by a unimodular change of variables, inequalities by Fourier–Motzkin elimination. Where eliminating a column
 * could admit solutions that are not integers, the system is decided by its shadows: no solution when the real shadow has none,
 * one when the dark shadow has one, else one of finitely many slices ("splinters") just above a lower bound must have it.
 */
import {
  chooseElimination,
  contentOf,
  copyRows,
  type Elimination,
  type LinearSystem,
  type Row,
  reduceByPivot,
  substituteUnit,
  tidyInequalities,
} from "./linear-system.js";
import { spend } from "./work.js";

const everyColumn = () => true;

/** Consumes the rows of the system. */
export function isFeasible(system: LinearSystem): boolean {
  for (;;) {
    spend(1);
    if (!solveEqualities(system)) return false;
    if (!tidyInequalities(system)) return false;
    if (system.equalities.length > 0) continue;
    const plan = chooseElimination(system.inequalities, system.width, everyColumn);
    if (plan === undefined) return true;
    const real = [...plan.others, ...plan.pairs.map(({ row }) => row)];
    if (plan.inexact.length === 0) {
      system.inequalities = real;
      continue;
    }
    return decideByShadows(plan, real, system.width);
  }
}

function decideByShadows(plan: Elimination, real: readonly Row[], width: number): boolean {
  const solve = (inequalities: Row[], equalities: Row[] = []) => isFeasible({ equalities, inequalities, width });
  if (!solve(copyRows(real))) return false;
  const dark = plan.pairs.map(({ row, slack }) => [row[0]! - slack, ...row.slice(1)]);
  if (solve([...copyRows(plan.others), ...dark])) return true;
  const rows = [...plan.others, ...plan.lowers, ...plan.uppers];
  return splinters(plan).some((equality) => solve(copyRows(rows), [equality]));
}

/** The equalities of which one holds for every solution outside the dark shadow. */
export function splinters({ lowers, uppers, column }: Elimination): Row[] {
  const steepest = Math.max(...uppers.map((row) => -row[column]!));
  return lowers.flatMap((lower) => {
    const a = lower[column]!;
    const count = Math.floor((a * steepest - a - steepest) / steepest) + 1;
    spend(Math.max(0, count));
    return Array.from({ length: Math.max(0, count) }, (_, i) => [lower[0]! - i, ...lower.slice(1)]);
  });
}

/** Eliminates all equalities; false when one of them has no integer solution. */
function solveEqualities(system: LinearSystem): boolean {
  for (;;) {
    const equality = system.equalities.pop();
    if (equality === undefined) return true;
    const content = contentOf(equality);
    if (content === 0) {
      if (equality[0] !== 0) return false;
      continue;
    }
    if (equality[0]! % content !== 0) return false;
    if (content > 1) for (let c = 0; c < equality.length; c++) equality[c] = equality[c]! / content;
    for (;;) {
      const pivot = smallestFactor(equality, everyColumn);
      if (Math.abs(equality[pivot]!) === 1) {
        substituteUnit(system, equality, pivot);
        break;
      }
      spend(1);
      reduceByPivot(system, equality, pivot, everyColumn);
    }
  }
}

/** The column with the factor nearest to 0, of those that occur. */
export function smallestFactor(row: Row, isColumn: (c: number) => boolean): number {
  let best = 0;
  for (let c = 1; c < row.length; c++) {
    if (row[c] === 0 || !isColumn(c)) continue;
    if (best === 0 || Math.abs(row[c]!) < Math.abs(row[best]!)) best = c;
  }
  return best;
}
