/**
 * Conjunctions of constraints, and the questions that the Omega test answers about them.
 */
import { type Affine, type Atom, evaluateForm, linearKey, negate, substituteForm } from "./affine.js";
import { atLeastZero, type Constraint, constraintKey, equalZero, type Normalized } from "./constraint.js";
import { isFeasible } from "./feasibility.js";
import type { LinearSystem, Row } from "./linear-system.js";

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

/** A dense system with one column per atom; the definitions of floors are among its inequalities. */
export interface AtomSystem extends LinearSystem {
  /** atoms[c - 1] is column c. */
  readonly atoms: Atom[];
  readonly columns: Map<string, number>;
}

export function emptySystem(): AtomSystem {
  return { equalities: [], inequalities: [], width: 1, atoms: [], columns: new Map() };
}

/** The column of an atom, made with the rows that define it where it is new. */
export function columnOf(system: AtomSystem, atom: Atom): number {
  const known = system.columns.get(atom.key);
  if (known !== undefined) return known;
  if (atom.kind === "floor") for (const term of atom.numerator.terms) columnOf(system, term.atom);
  const column = system.width++;
  system.columns.set(atom.key, column);
  system.atoms.push(atom);
  for (const rows of [system.equalities, system.inequalities]) for (const row of rows) row.push(0);
  if (atom.kind === "floor") {
    // 0 <= numerator - divisor * e <= divisor - 1
    const numerator = rowOf(system, atom.numerator);
    const lower = numerator.slice();
    lower[column] = lower[column]! - atom.divisor;
    const upper = numerator.map((value) => -value);
    upper[column] = upper[column]! + atom.divisor;
    upper[0] = upper[0]! + atom.divisor - 1;
    system.inequalities.push(lower, upper);
  }
  return column;
}

export function rowOf(system: AtomSystem, form: Affine): Row {
  for (const term of form.terms) columnOf(system, term.atom);
  const row: Row = new Array<number>(system.width).fill(0);
  row[0] = form.constant;
  for (const { atom, factor } of form.terms) {
    const column = system.columns.get(atom.key)!;
    row[column] = row[column]! + factor;
  }
  return row;
}

export function addConstraints(system: AtomSystem, constraints: readonly Constraint[]): void {
  for (const constraint of constraints) {
    const row = rowOf(system, constraint.form);
    if (constraint.kind === "zero") system.equalities.push(row);
    else system.inequalities.push(row);
  }
}

/** Whether some integer point satisfies all constraints. */
export function areFeasible(...lists: readonly (readonly Constraint[])[]): boolean {
  const system = emptySystem();
  for (const constraints of lists) addConstraints(system, constraints);
  return isFeasible(system);
}

export const isEmptyConjunct = (part: Conjunct): boolean => !areFeasible(part.constraints);

/** Whether every point of the conjunct satisfies the constraint. */
export function implies(part: Conjunct, constraint: Constraint, context: readonly Constraint[] = []): boolean {
  if (obviously(part.constraints, constraint) || obviously(context, constraint)) return true;
  return opposites(constraint).every((opposite) => !areFeasible(part.constraints, context, opposite));
}

/** Whether a parallel constraint of the list already says it. */
function obviously(constraints: readonly Constraint[], wanted: Constraint): boolean {
  return constraints.some(
    (constraint) =>
      constraint.linear === wanted.linear &&
      (constraint.form.constant === wanted.form.constant
        ? constraint.kind === "zero" || wanted.kind === "at-least-zero"
        : wanted.kind === "at-least-zero" && constraint.form.constant < wanted.form.constant),
  );
}

/** The alternatives, each a list of constraints, whose union is the opposite of a constraint. */
export function opposites(constraint: Constraint): Constraint[][] {
  const below = atLeastZero(shiftedNegation(constraint.form));
  const alternatives = [below];
  if (constraint.kind === "zero") {
    alternatives.push(atLeastZero({ terms: constraint.form.terms, constant: constraint.form.constant - 1 }));
  }
  return alternatives.filter((part) => part !== "never").map((part) => [...part]);
}

function shiftedNegation(form: Affine): Affine {
  const negated = negate(form);
  return { terms: negated.terms, constant: negated.constant - 1 };
}

export function isSubsetOfConjunct(part: Conjunct, of: Conjunct, context: readonly Constraint[] = []): boolean {
  return of.constraints.every((constraint) => implies(part, constraint, context));
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
