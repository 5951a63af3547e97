/**
 * Exact projection: the points of the other variables for which some integer values of the eliminated ones exist.
 *
 * The result has no hidden quantifier: where a congruence or a rounded quotient remains, it is a floor of variables that are kept.
 * Five steps, in order of preference, until no eliminated column is left:
 *
 * 1. An equality gives a column its value; where its factor g is not 1, a change of variables leaves one column y with
 *    g·y = rest, so y is ⌊rest / g⌋ and g divides rest.
 * 2. Fourier–Motzkin, where it is exact: unit factors, or pairs of bounds whose real and dark shadow agree, perhaps only because of
 *    the other constraints.
 * 3. Two bounds that leave one value: u - gap <= b·x <= u with gap < b makes x the floor ⌊u / b⌋.
 * 4. All upper bounds (or all lower ones) b·x <= u are in kept variables: if any integer fits, then one of the ⌊u / b⌋ does, so the
 *    result is the union over the bounds of "x is this one".
 * 5. The Omega test's dark shadow and splinters.
 */
import { type Affine, type Atom, atomMentions, combine, floorOf, keyOf, negate, shift } from "./affine.js";
import { type AtomSystem, addConstraints, columnOf, emptySystem, rowOf } from "./atom-system.js";
import { areFeasible, type Conjunct, conjunct } from "./conjunct.js";
import { atLeastZero, equalZero, type Normalized } from "./constraint.js";
import { isFeasible, smallestFactor, splinters } from "./feasibility.js";
import {
  chooseElimination,
  contentOf,
  copyRows,
  type Elimination,
  parallel,
  type Row,
  reduceByPivot,
  substituteUnit,
  tidyInequalities,
} from "./linear-system.js";
import { simplifyConjunct } from "./simplify.js";
import { spend } from "./work.js";

/** Eliminates the variables for which `isEliminated` holds; the union of the result is exact. */
export function projectConjunct(part: Conjunct, isEliminated: (name: string) => boolean): Conjunct[] {
  const system = emptySystem();
  addConstraints(system, part.constraints);
  if (!system.atoms.some((atom) => atomMentions(atom, isEliminated))) return [part];
  const results: Conjunct[] = [];
  const pending: Projection[] = [{ system, gone: system.atoms.map((atom) => atomMentions(atom, isEliminated)) }];
  for (let state = pending.pop(); state !== undefined; state = pending.pop()) {
    const branches = eliminate(state);
    if (branches === "empty") continue;
    if (branches !== "done") {
      pending.push(...branches);
      continue;
    }
    const result = conjunct(constraintsOf(state));
    if (result === undefined) continue;
    // One result is simplified by the caller if it likes; of many, most are empty or equal.
    if (results.length === 0 && pending.length === 0) return areFeasible(result.constraints) ? [result] : [];
    const simple = simplifyConjunct(result);
    if (simple !== undefined && !results.some((other) => other.key === simple.key)) results.push(simple);
  }
  return results;
}

/**
 * Constraints that hold wherever the conjunct does and have no floor that mentions the variable: a linear hull, not always the
 * tightest. Undefined for an empty conjunct.
 */
export function linearHull(part: Conjunct, name: string): Conjunct | undefined {
  const system = emptySystem();
  addConstraints(system, part.constraints);
  const isFloor = (atom: Atom) => atom.kind === "floor" && atomMentions(atom, (key) => key === name);
  const gone = system.atoms.map(isFloor);
  // Equalities as pairs of bounds, so that rational elimination is all there is to do.
  for (const row of system.equalities.splice(0))
    system.inequalities.push(
      row,
      row.map((value) => -value),
    );
  for (;;) {
    const plan = chooseElimination(system.inequalities, system.width, (c) => gone[c - 1] === true);
    if (plan === undefined) break;
    system.inequalities = [...plan.others, ...plan.pairs.map(({ row }) => row)];
    if (!tidyInequalities(system)) return undefined;
    for (const row of system.equalities.splice(0))
      system.inequalities.push(
        row,
        row.map((value) => -value),
      );
  }
  const hull = conjunct(constraintsOf({ system, gone }));
  return hull === undefined ? undefined : simplifyConjunct(hull);
}

/** A system in the middle of a projection; gone[c - 1] marks the columns that must vanish. */
interface Projection {
  readonly system: AtomSystem;
  readonly gone: boolean[];
}

function eliminate(state: Projection): "done" | "empty" | Projection[] {
  const { system, gone } = state;
  const isGone = (c: number) => gone[c - 1] === true;
  for (;;) {
    spend(1);
    if (!solveEqualities(state, isGone)) return "empty";
    if (!tidyInequalities(system)) return "empty";
    if (system.equalities.some((row) => row.some((value, c) => c > 0 && value !== 0 && isGone(c)))) continue;
    const plan = chooseElimination(system.inequalities, system.width, isGone);
    if (plan === undefined) return "done";
    const real = () => [...plan.others, ...plan.pairs.map(({ row }) => row)];
    if (plan.inexact.length === 0 || darkIsImplied(system, plan, real())) {
      system.inequalities = real();
      continue;
    }
    const determined = findDetermined(state, isGone);
    if (determined !== undefined) {
      assign(state, determined.column, determined.value);
      continue;
    }
    return branchOnBounds(state, plan, isGone) ?? branchOnShadows(state, plan, real());
  }
}

/** Removes every equality in which an eliminated column occurs; false on a contradiction. */
function solveEqualities(state: Projection, isGone: (c: number) => boolean): boolean {
  const { system } = state;
  for (;;) {
    const index = system.equalities.findIndex((row) => row.some((value, c) => c > 0 && value !== 0 && isGone(c)));
    if (index < 0) return true;
    const equality = system.equalities[index]!;
    system.equalities.splice(index, 1);
    const content = contentOf(equality);
    if (equality[0]! % content !== 0) return false;
    if (content > 1) for (let c = 0; c < equality.length; c++) equality[c] = equality[c]! / content;
    for (;;) {
      const pivot = smallestFactor(equality, isGone);
      const alone = equality.every((value, c) => c === 0 || c === pivot || value === 0 || !isGone(c));
      if (Math.abs(equality[pivot]!) === 1) {
        substituteUnit(system, equality, pivot);
        break;
      }
      if (alone) {
        assign(state, pivot, quotientOf(system, equality, pivot, 1), equality);
        break;
      }
      spend(1);
      reduceByPivot(system, equality, pivot, isGone);
    }
  }
}

/** Of a row with factor·x + rest: ⌊-rest / factor⌋ with the sign of the factor taken into account, as a form of kept atoms. */
function quotientOf(system: AtomSystem, row: Row, column: number, rounding: 1 | -1): Affine {
  const factor = row[column]!;
  const rest = formOf(system, row, column);
  // factor·x + rest = 0 or bounds x: x is -rest / factor.
  const numerator = factor > 0 ? negate(rest) : rest;
  const size = Math.abs(factor);
  return rounding === 1 ? floorOf(numerator, size) : negate(floorOf(negate(numerator), size));
}

/** The form of a row without one column. */
function formOf(system: AtomSystem, row: Row, without = 0): Affine {
  const terms = system.atoms
    .map((atom, index) => ({ atom, factor: index + 1 === without ? 0 : row[index + 1]! }))
    .filter(({ factor }) => factor !== 0)
    .sort((a, b) => (a.atom.key < b.atom.key ? -1 : 1));
  return { terms, constant: row[0]! };
}

/** Gives a column a value in kept atoms; the equality that it came from is kept, as it may ask for divisibility. */
function assign(state: Projection, column: number, value: Affine, equality?: Row): void {
  const { system, gone } = state;
  const before = system.atoms.length;
  for (const term of value.terms) columnOf(system, term.atom);
  for (let index = before; index < system.atoms.length; index++) gone[index] = false;
  if (equality !== undefined) while (equality.length < system.width) equality.push(0);
  const row = rowOf(system, value).map((entry) => -entry);
  row[column] = row[column]! + 1;
  if (equality !== undefined) system.equalities.push(equality);
  substituteUnit(system, row, column);
}

/** Whether the real shadow has no point outside the dark shadow, given everything else that is known. */
function darkIsImplied(system: AtomSystem, plan: Elimination, real: readonly Row[]): boolean {
  return plan.inexact.every(({ row, slack }) => {
    // Between the shadows: row >= 0 and row < slack.
    const between = row.map((value) => -value);
    between[0] = between[0]! + slack - 1;
    return !isFeasible({
      equalities: copyRows(system.equalities),
      inequalities: [...copyRows(real), between],
      width: system.width,
    });
  });
}

/** A column that two bounds in kept columns leave a single value: factor·x between u - gap and u, with gap < factor. */
function findDetermined(
  { system }: Projection,
  isGone: (c: number) => boolean,
): { readonly column: number; readonly value: Affine } | undefined {
  const { inequalities, width } = system;
  for (let column = 1; column < width; column++) {
    if (!isGone(column)) continue;
    const inKept = (row: Row) => row.every((value, c) => c === 0 || c === column || value === 0 || !isGone(c));
    for (const upper of inequalities) {
      const factor = -upper[column]!;
      if (factor <= 0 || !inKept(upper)) continue;
      const lower = inequalities.find(
        (row) => parallel(row, upper) === -1 && row[column] === factor && row[0]! + upper[0]! < factor,
      );
      if (lower !== undefined) return { column, value: quotientOf(system, upper, column, 1) };
    }
  }
  return undefined;
}

/** The union over all bounds of one side, if they mention kept columns only. */
function branchOnBounds(
  state: Projection,
  plan: Elimination,
  isGone: (c: number) => boolean,
): Projection[] | undefined {
  const inKept = (row: Row) => row.every((value, c) => c === 0 || c === plan.column || value === 0 || !isGone(c));
  const sides = [
    { rows: plan.uppers, rounding: 1 as const },
    { rows: plan.lowers, rounding: -1 as const },
  ]
    .filter(({ rows }) => rows.every(inKept))
    .sort((a, b) => a.rows.length - b.rows.length);
  const side = sides[0];
  if (side === undefined) return undefined;
  spend(side.rows.length);
  return side.rows.map((row) => {
    const branch = copyOf(state);
    assign(branch, plan.column, quotientOf(branch.system, row, plan.column, side.rounding));
    return branch;
  });
}

function branchOnShadows(state: Projection, plan: Elimination, real: readonly Row[]): Projection[] {
  const dark = copyOf(state);
  const slacks = new Map(plan.inexact.map(({ row, slack }) => [row, slack]));
  dark.system.inequalities = real.map((row) => [row[0]! - (slacks.get(row) ?? 0), ...row.slice(1)]);
  return [
    dark,
    ...splinters(plan).map((equality) => {
      const branch = copyOf(state);
      branch.system.equalities.push(equality);
      return branch;
    }),
  ];
}

function copyOf({ system, gone }: Projection): Projection {
  return {
    system: {
      equalities: copyRows(system.equalities),
      inequalities: copyRows(system.inequalities),
      width: system.width,
      atoms: [...system.atoms],
      columns: new Map(system.columns),
    },
    gone: [...gone],
  };
}

/** The rows as constraints, without those that only repeat the definition of a floor. */
function constraintsOf({ system }: Projection): Normalized[] {
  const definitions = new Set<string>();
  for (const atom of system.atoms) {
    if (atom.kind !== "floor") continue;
    const quotient = { terms: [{ atom, factor: 1 }], constant: 0 };
    // 0 <= numerator - divisor * quotient <= divisor - 1
    const remainder = combine(atom.numerator, 1, quotient, -atom.divisor);
    definitions.add(keyOf(remainder));
    definitions.add(keyOf(shift(negate(remainder), atom.divisor - 1)));
  }
  const inequalities = system.inequalities
    .map((row) => formOf(system, row))
    .filter((form) => !definitions.has(keyOf(form)));
  return [
    ...system.equalities.map((row) => equalZero(formOf(system, row))),
    ...inequalities.map((form) => atLeastZero(form)),
  ];
}
