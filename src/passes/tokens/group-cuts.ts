/**
 * Where a relation begins to treat keys differently: the copies and the positions at which one of its comparisons, of the key alone with a
 * constant, turns from true to false.
 */
import type { Affine } from "../../ir/relation/affine.js";
import type { Constraint } from "../../ir/relation/constraint.js";
import { setOfPredicate } from "../../ir/relation/from-predicate.js";
import type { AttentionSystem } from "./attention-system.js";

/** The copies c > 2 at which a relation begins to treat keys differently: it compares `k.copy` with c or c - 1. */
export function copyCuts({ copies, predicates }: AttentionSystem): number[] {
  const cuts = new Set<number>();
  for (const constraint of constraintsOf(predicates)) {
    const [only, ...more] = constraint.form.terms;
    if (only?.atom.key === "k.copy" && more.length === 0) addTurns(cuts, constraint, only.factor, 0);
  }
  return ascending(cuts).filter((cut) => cut > 2 && cut <= copies);
}

/** The positions p > 0 at which a relation begins to treat some copy's keys differently. */
export function positionCuts({ copies, predicates }: AttentionSystem): number[] {
  const cuts = new Set<number>();
  for (const constraint of constraintsOf(predicates)) {
    // ⌊(pos + b) / d⌋ compared with a constant turns where pos + b reaches a multiple of d.
    const [only, ...more] = constraint.form.terms;
    if (only?.atom.kind === "floor" && more.length === 0) {
      const { numerator, divisor } = only.atom;
      const quotients = new Set<number>();
      addTurns(quotients, constraint, only.factor, 0);
      const factor = factorOfPosition(numerator);
      for (const quotient of factor === 1 ? quotients : []) cuts.add(quotient * divisor - numerator.constant);
      continue;
    }
    const factor = factorOfPosition(constraint.form);
    if (factor === undefined) continue;
    const ofCopy = constraint.form.terms.find(({ atom }) => atom.key === "k.copy")?.factor ?? 0;
    for (const copy of new Set([1, copies])) addTurns(cuts, constraint, factor, ofCopy * copy);
  }
  return ascending(cuts).filter((cut) => cut > 0 && Number.isSafeInteger(cut));
}

const constraintsOf = (predicates: AttentionSystem["predicates"]): Constraint[] =>
  predicates.flatMap(setOfPredicate).flatMap(({ constraints }) => constraints);

/** The factor of `k.pos` in a form over nothing but a key's coordinates. */
function factorOfPosition({ terms }: Affine): number | undefined {
  if (!terms.every(({ atom }) => atom.key === "k.pos" || atom.key === "k.copy")) return undefined;
  return terms.find(({ atom }) => atom.key === "k.pos")?.factor;
}

/** Adds the values of x at which `factor · x + rest + constant` compared with 0 turns. */
function addTurns(turns: Set<number>, { kind, form }: Constraint, factor: number, rest: number): void {
  const bound = -(form.constant + rest) / factor;
  if (factor > 0 || kind === "zero") turns.add(Math.ceil(bound));
  if (factor < 0 || kind === "zero") turns.add(Math.floor(bound) + 1);
}

const ascending = (values: ReadonlySet<number>): number[] => [...values].sort((a, b) => a - b);
