/**
 * Conjunctions of constraints, and the questions that the Omega test answers about them.
 */
import { type Affine, evaluateForm, linearKey, negate, shift, substituteForm } from "./affine.js";
import { addConstraints, emptySystem } from "./atom-system.js";
import { atLeastZero, type Constraint, constraintKey, equalZero, type Normalized } from "./constraint.js";
import { isFeasible } from "./feasibility.js";
import { Premises } from "./premises.js";

/** Integer points that satisfy every constraint. Constraints are in normal form, sorted, without parallel repetitions. */
export interface Conjunct {
  readonly constraints: readonly Constraint[];
  /** Equal for equal lists of constraints. */
  readonly key: string;
}

export const everything: Conjunct = { constraints: [], key: "" };

/** Brings constraints together; undefined where two of them contradict each other visibly. */
export function conjunct(parts: readonly Normalized[]): Conjunct | undefined {
  const bounds = new Map<string, Constraint>();
  const equalities = new Map<string, Constraint>();
  const add = (constraint: Constraint): boolean => {
    if (constraint.kind === "zero") {
      const known = equalities.get(constraint.linear);
      equalities.set(constraint.linear, constraint);
      return known === undefined || known.form.constant === constraint.form.constant;
    }
    const known = bounds.get(constraint.linear);
    if (known === undefined || known.form.constant > constraint.form.constant)
      bounds.set(constraint.linear, constraint);
    return true;
  };
  for (const part of parts) {
    if (part === "never" || !part.every(add)) return undefined;
  }
  for (const [linear, bound] of bounds) {
    const other = bounds.get(linearKey(negate(bound.form)));
    if (other === undefined) continue;
    const gap = bound.form.constant + other.form.constant;
    if (gap < 0) return undefined;
    if (gap > 0) continue;
    const equality = equalZero(bound.form);
    if (equality === "never") return undefined;
    // Where the equality falls apart into the two bounds again, they stay as they are.
    if (equality.length !== 1 || equality[0]!.kind !== "zero") continue;
    bounds.delete(linear);
    bounds.delete(other.linear);
    if (!add(equality[0]!)) return undefined;
  }
  for (const { form, linear } of equalities.values()) {
    const above = bounds.get(linear);
    if (above !== undefined && above.form.constant < form.constant) return undefined;
    const below = bounds.get(linearKey(negate(form)));
    if (below !== undefined && below.form.constant < -form.constant) return undefined;
    bounds.delete(linear);
    if (below !== undefined) bounds.delete(below.linear);
  }
  return sorted([...equalities.values(), ...bounds.values()]);
}

function sorted(constraints: readonly Constraint[]): Conjunct {
  const keyed = constraints.map((constraint) => ({ constraint, key: constraintKey(constraint) }));
  keyed.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
  return {
    constraints: keyed.map(({ constraint }) => constraint),
    key: keyed.map(({ key }) => key).join(" ∧ "),
  };
}

export function intersectConjuncts(left: Conjunct, right: Conjunct): Conjunct | undefined {
  if (left.constraints.length === 0) return right;
  if (right.constraints.length === 0) return left;
  return conjunct([left.constraints, right.constraints]);
}

/** Whether some integer point satisfies all constraints. */
export function areFeasible(...lists: readonly (readonly Constraint[])[]): boolean {
  const system = emptySystem();
  for (const constraints of lists) addConstraints(system, constraints);
  return isFeasible(system);
}

/** Whether every point of the conjunct satisfies the constraint. */
export const implies = (part: Conjunct, constraint: Constraint): boolean =>
  new Premises(part.constraints, [], [constraint]).imply(constraint);

/** The alternatives, each a list of constraints, whose union is the opposite of a constraint. */
export function opposites(constraint: Constraint): Constraint[][] {
  const below = atLeastZero(shift(negate(constraint.form), -1));
  const alternatives = [below];
  if (constraint.kind === "zero") {
    alternatives.push(atLeastZero(shift(constraint.form, -1)));
  }
  return alternatives.filter((part) => part !== "never").map((part) => [...part]);
}

export function isSubsetOfConjunct(part: Conjunct, of: Conjunct): boolean {
  const premises = new Premises(part.constraints, [], of.constraints);
  return of.constraints.every((constraint) => premises.imply(constraint));
}

export function substituteConjunct(part: Conjunct, values: ReadonlyMap<string, Affine>): Conjunct | undefined {
  return conjunct(
    part.constraints.map((constraint) => {
      const form = substituteForm(constraint.form, values);
      return constraint.kind === "zero" ? equalZero(form) : atLeastZero(form);
    }),
  );
}

export function containsPoint(part: Conjunct, point: Readonly<Record<string, number>>): boolean {
  return part.constraints.every((constraint) => {
    const value = evaluateForm(constraint.form, point);
    return constraint.kind === "zero" ? value === 0 : value >= 0;
  });
}
