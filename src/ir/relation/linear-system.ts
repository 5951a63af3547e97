/**
 * Dense systems of linear constraints over integers, the working form of the solvers.
 *
 * A row is `[constant, c1, c2, …]` over columns 1, 2, …: an equality says that its sum is 0, an inequality that it is at least 0.
 * Functions here change the rows they are given; callers pass copies of what they keep.
 */
import { floorDiv, gcd } from "./affine.js";
import { exactInteger, spend } from "./work.js";

export type Row = number[];

export interface LinearSystem {
  equalities: Row[];
  inequalities: Row[];
  /** Columns + 1, the length of every row. */
  width: number;
}

export const copyRows = (rows: readonly Row[]): Row[] => rows.map((row) => row.slice());

/** into += factor * row. */
function addMultiple(into: Row, row: Row, factor: number): void {
  for (let c = 0; c < into.length; c++) {
    const value = row[c]!;
    if (value !== 0) into[c] = exactInteger(into[c]! + exactInteger(factor * value));
  }
}

/** The greatest common divisor of the factors, 0 for a row without any. */
export function contentOf(row: Row): number {
  let content = 0;
  for (let c = 1; c < row.length; c++) {
    const value = row[c]!;
    if (value === 0) continue;
    content = gcd(content, value);
    if (content === 1) return 1;
  }
  return content;
}

/** Divides an inequality by its content and rounds its constant; false when it holds for no integer, undefined when for all. */
function tightenInequality(row: Row): Row | false | undefined {
  const content = contentOf(row);
  if (content === 0) return row[0]! >= 0 ? undefined : false;
  if (content > 1) {
    for (let c = 1; c < row.length; c++) row[c] = row[c]! / content;
    row[0] = floorDiv(row[0]!, content);
  }
  return row;
}

/** 1 when the factors agree, -1 when they are opposite, else 0. */
export function parallel(a: Row, b: Row): 1 | 0 | -1 {
  let same = true;
  let opposite = true;
  for (let c = 1; c < a.length; c++) {
    const x = a[c]!;
    const y = b[c]!;
    if (x !== y) same = false;
    if (x !== -y) opposite = false;
    if (!same && !opposite) return 0;
  }
  return same ? 1 : opposite ? -1 : 0;
}

/**
 * Tightens all inequalities, keeps the stronger of parallel ones and turns opposite ones that touch into equalities.
 *
 * Returns false when two of them contradict each other.
 */
export function tidyInequalities(system: LinearSystem): boolean {
  const kept: Row[] = [];
  spend(1 + (system.inequalities.length >> 2));
  next: for (const given of system.inequalities) {
    const row = tightenInequality(given);
    if (row === undefined) continue;
    if (row === false) return false;
    for (let i = 0; i < kept.length; i++) {
      const other = kept[i]!;
      const direction = parallel(row, other);
      if (direction === 1) {
        if (row[0]! >= other[0]!) continue next;
        kept.splice(i, 1);
        i--;
      } else if (direction === -1 && row[0]! + other[0]! < 0) return false;
    }
    kept.push(row);
  }
  for (let i = 0; i < kept.length; i++) {
    for (let j = i + 1; j < kept.length; j++) {
      if (kept[i]![0]! + kept[j]![0]! === 0 && parallel(kept[i]!, kept[j]!) === -1) {
        system.equalities.push(kept[i]!);
        kept.splice(j, 1);
        kept.splice(i, 1);
        i--;
        break;
      }
    }
  }
  system.inequalities = kept;
  return true;
}

/** Replaces a column by the value that an equality with factor ±1 gives it, in every row. */
export function substituteUnit(system: LinearSystem, equality: Row, column: number): void {
  const unit = equality[column]!;
  for (const rows of [system.equalities, system.inequalities]) {
    for (const row of rows) {
      const factor = row[column]!;
      if (factor !== 0 && row !== equality) addMultiple(row, equality, -factor * unit);
    }
  }
}

/**
 * One step of Euclid's algorithm on the columns of an equality: with the pivot column x standing for x - Σ q·other, the factors
 * of the other columns become remainders. A change of variables by a unimodular matrix: it keeps the integers.
 */
export function reduceByPivot(
  system: LinearSystem,
  equality: Row,
  pivot: number,
  isColumn: (c: number) => boolean,
): void {
  const unit = equality[pivot]!;
  for (let c = 1; c < equality.length; c++) {
    if (c === pivot || equality[c] === 0 || !isColumn(c)) continue;
    const quotient = Math.round(equality[c]! / unit);
    if (quotient === 0) continue;
    for (const rows of [system.equalities, system.inequalities]) {
      for (const row of rows)
        if (row[pivot] !== 0) row[c] = exactInteger(row[c]! - exactInteger(quotient * row[pivot]!));
    }
    equality[c] = equality[c]! - quotient * unit;
  }
}

/** A lower and an upper bound of one column, added so that the column vanishes; `slack` is what the dark shadow subtracts. */
function combineBounds(lower: Row, upper: Row, column: number): { readonly row: Row; readonly slack: number } {
  const a = lower[column]!;
  const b = -upper[column]!;
  const common = gcd(a, b);
  const times = b / common;
  const by = a / common;
  const row: Row = new Array(lower.length);
  for (let c = 0; c < lower.length; c++) {
    row[c] = exactInteger(exactInteger(times * lower[c]!) + exactInteger(by * upper[c]!));
  }
  // a·b·x lies between; a multiple of a·b fits into every gap of (a-1)(b-1) or more.
  return { row, slack: Math.ceil(((a - 1) * (b - 1)) / common) };
}

/** Whether the real shadow of two bounds has no integer point that the dark shadow lacks. */
function shadowsAgree(row: Row, slack: number): boolean {
  if (slack === 0) return true;
  const content = contentOf(row);
  if (content === 0) return row[0]! < 0 || row[0]! >= slack;
  return floorDiv(row[0]!, content) === floorDiv(row[0]! - slack, content);
}

export interface Elimination {
  readonly column: number;
  readonly lowers: readonly Row[];
  readonly uppers: readonly Row[];
  readonly others: readonly Row[];
  /** One row per pair of bounds. */
  readonly pairs: readonly { readonly row: Row; readonly slack: number }[];
  /** The pairs whose real shadow may have more integer points than their dark shadow. */
  readonly inexact: readonly { readonly row: Row; readonly slack: number }[];
}

/** Everything Fourier and Motzkin need to eliminate one column from the inequalities. */
export function planElimination(inequalities: readonly Row[], column: number): Elimination {
  const lowers = inequalities.filter((row) => row[column]! > 0);
  const uppers = inequalities.filter((row) => row[column]! < 0);
  const others = inequalities.filter((row) => row[column] === 0);
  // Before the pairs are made: a system that has grown far too large must not fill the memory first.
  spend(lowers.length * uppers.length);
  const pairs = lowers.flatMap((lower) => uppers.map((upper) => combineBounds(lower, upper, column)));
  return {
    column,
    lowers,
    uppers,
    others,
    pairs,
    inexact: pairs.filter(({ row, slack }) => !shadowsAgree(row, slack)),
  };
}

/** The column that is cheapest to eliminate, exact ones first; undefined when none of them occurs. */
export function chooseElimination(
  inequalities: readonly Row[],
  width: number,
  isColumn: (c: number) => boolean,
): Elimination | undefined {
  let best = 0;
  let bestCost = Number.POSITIVE_INFINITY;
  for (let c = 1; c < width; c++) {
    if (!isColumn(c)) continue;
    let lowers = 0;
    let uppers = 0;
    let unitLowers = true;
    let unitUppers = true;
    for (const row of inequalities) {
      const factor = row[c]!;
      if (factor > 0) {
        lowers++;
        if (factor !== 1) unitLowers = false;
      } else if (factor < 0) {
        uppers++;
        if (factor !== -1) unitUppers = false;
      }
    }
    if (lowers + uppers === 0) continue;
    // Without bounds on one side the column's rows just fall away.
    const growth = lowers === 0 || uppers === 0 ? -1000 : lowers * uppers - lowers - uppers;
    const cost = growth + (unitLowers || unitUppers || growth === -1000 ? 0 : 10_000);
    if (cost < bestCost) {
      bestCost = cost;
      best = c;
    }
  }
  if (best === 0) return undefined;
  if (bestCost < 5_000) return planElimination(inequalities, best);
  // No column has unit factors throughout: the first whose pairs are exact for another reason, else the one with least to repair.
  let choice: Elimination | undefined;
  for (let c = 1; c < width; c++) {
    if (!isColumn(c) || inequalities.every((row) => row[c] === 0)) continue;
    const plan = planElimination(inequalities, c);
    if (plan.inexact.length === 0) return plan;
    if (choice === undefined || plan.inexact.length < choice.inexact.length) choice = plan;
  }
  return choice;
}
