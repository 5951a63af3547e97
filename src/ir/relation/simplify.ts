/**
 * A conjunct in fewer and simpler constraints.
 */
import {
  type Affine,
  type Atom,
  combine,
  type Floor,
  factorOf,
  floorDiv,
  mentions,
  minus,
  plus,
  scale,
} from "./affine.js";
import { areFeasible, type Conjunct, conjunct } from "./conjunct.js";
import { atLeastZero, type Constraint, equalZero, rankOf } from "./constraint.js";
import { Premises } from "./premises.js";

/** Solves for what is determined and drops what the rest (and the context) implies; undefined where no integer point is left. */
export function simplifyConjunct(part: Conjunct, context: readonly Constraint[] = []): Conjunct | undefined {
  if (!areFeasible(part.constraints, context)) return undefined;
  const solved = solveDetermined(part, context);
  // Long constraints go first, so that of two equivalent descriptions the simpler stays.
  const order = [...solved.constraints].sort((a, b) => weightOf(b) - weightOf(a));
  const premises = new Premises(solved.constraints, context);
  const dropped = new Set<Constraint>();
  for (const candidate of order) {
    // Other constraints hardly ever imply an equality that they do not already show; the context may.
    if (candidate.kind === "zero" && context.length === 0) continue;
    dropped.add(candidate);
    if (!premises.imply(candidate, dropped)) dropped.delete(candidate);
  }
  return dropped.size === 0 ? solved : conjunct([order.filter((constraint) => !dropped.has(constraint))]);
}

function weightOf(constraint: Constraint): number {
  return constraint.linear.length;
}

/** Replaces atoms that the constraints determine (`⌊row/2⌋ = n` where 2n <= row <= 2n + 1) by their values in all other constraints. */
function solveDetermined(part: Conjunct, context: readonly Constraint[]): Conjunct {
  let current = part;
  const done = new Set<string>();
  for (;;) {
    const found = findDetermined([...current.constraints, ...context], current.constraints, done);
    if (found === undefined) return current;
    done.add(found.atom.key);
    const rewritten = current.constraints.map((constraint) => {
      if (found.sources.includes(constraint)) return [constraint];
      const form = replaceAtom(constraint.form, found.atom, found.value);
      if (form === constraint.form) return [constraint];
      return constraint.kind === "zero" ? equalZero(form) : atLeastZero(form);
    });
    // The part is feasible, so no contradiction can show up.
    current = conjunct(rewritten) ?? current;
  }
}

interface Determined {
  readonly atom: Atom;
  readonly value: Affine;
  /** The constraints that say so, which must stay. */
  readonly sources: readonly Constraint[];
}

function findDetermined(
  known: readonly Constraint[],
  used: readonly Constraint[],
  done: ReadonlySet<string>,
): Determined | undefined {
  for (const constraint of known) {
    if (constraint.kind !== "zero") continue;
    const top = Math.max(...constraint.form.terms.map((term) => rankOf(term.atom)));
    const unit = constraint.form.terms.find(
      ({ atom, factor }) => Math.abs(factor) === 1 && rankOf(atom) === top && !done.has(atom.key),
    );
    if (unit === undefined) continue;
    const others = used.some(
      (other) => other !== constraint && other.form.terms.some((term) => term.atom.key === unit.atom.key),
    );
    if (!others) continue;
    const rest = { terms: constraint.form.terms.filter((term) => term !== unit), constant: constraint.form.constant };
    // A congruence does not solve for its variable: other constraints would only become weaker by it.
    if (unit.atom.kind === "variable" && mentions(rest, (name) => name === unit.atom.key)) continue;
    return { atom: unit.atom, value: scale(rest, -unit.factor), sources: [constraint] };
  }
  for (const floor of floorsOf(used)) {
    if (done.has(floor.key)) continue;
    const value = valueOfFloor(floor, known);
    if (value !== undefined) return { atom: floor, ...value };
  }
  return undefined;
}

function floorsOf(constraints: readonly Constraint[]): Floor[] {
  const floors = new Map<string, Floor>();
  for (const { form } of constraints) {
    for (const { atom } of form.terms) if (atom.kind === "floor") floors.set(atom.key, atom);
  }
  return [...floors.values()];
}

/** The value r of a floor when the constraints say divisor·r <= numerator <= divisor·r + divisor - 1. */
function valueOfFloor(floor: Floor, known: readonly Constraint[]): Omit<Determined, "atom"> | undefined {
  const { numerator, divisor } = floor;
  for (const lower of known) {
    // lower says numerator >= divisor·r + something
    const bound = minus(numerator, lower.form);
    const value = wholeQuotient(bound, divisor);
    if (value === undefined || factorOf(value, floor.key) !== 0) continue;
    if (lower.kind === "zero") return { value, sources: [lower] };
    const upper = known.find((constraint) => {
      const gap = plus(constraint.form, combine(numerator, 1, value, -divisor));
      return gap.terms.length === 0 && gap.constant <= divisor - 1;
    });
    if (upper !== undefined) return { value, sources: [lower, upper] };
  }
  return undefined;
}

/** ⌊form / divisor⌋ where the divisor divides all factors. */
function wholeQuotient(form: Affine, divisor: number): Affine | undefined {
  if (form.terms.some(({ factor }) => factor % divisor !== 0)) return undefined;
  return {
    terms: form.terms.map(({ atom, factor }) => ({ atom, factor: factor / divisor })),
    constant: floorDiv(form.constant, divisor),
  };
}

/** Replaces an atom where it stands outside of floors. */
function replaceAtom(form: Affine, atom: Atom, value: Affine): Affine {
  const term = form.terms.find((candidate) => candidate.atom.key === atom.key);
  if (term === undefined) return form;
  const rest = { terms: form.terms.filter((candidate) => candidate !== term), constant: form.constant };
  return combine(rest, 1, value, term.factor);
}
