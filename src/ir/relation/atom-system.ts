/**
 * Constraints as dense systems.
 */
import type { Affine, Atom } from "./affine.js";
import type { Constraint } from "./constraint.js";
import type { LinearSystem, Row } from "./linear-system.js";

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
