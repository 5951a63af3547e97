/**
 * Rows that a phase computes, as data that a run time can evaluate: ranges of row numbers, with a condition where they have holes.
 */
import { type Environment, type Expr, evaluate, mul, select } from "../../ir/expr.js";
import {
  type Affine,
  constant,
  floorOf,
  plus,
  scale,
  shift,
  substituteForm,
  variable,
} from "../../ir/relation/affine.js";
import type { Constraint } from "../../ir/relation/constraint.js";
import type { IntegerSet } from "../../ir/relation/integer-set.js";
import { conditionOf, intervalOf, largest, smallest } from "../../ir/relation/interval.js";
import { sizeOf } from "./group-relation.js";
import type { KeyGroup } from "./group-tokens.js";

/** Rows of one key group: all i in [lo, hi) of any range with `where` nonzero; i = pos * copies in the group + copy - first copy. */
export interface RowSet {
  readonly group: string;
  readonly firstCopy: number;
  readonly lastCopy: number;
  readonly ranges: readonly RowRange[];
}

/** `lo` and `hi` in the symbols n and start, `where` in pos and copy too. A range with hi <= lo is empty. */
export interface RowRange {
  readonly lo: Expr;
  readonly hi: Expr;
  readonly where?: Expr;
}

/** A set over `k.row` of rows before position n, as ranges. Exact. */
export function rowSetOf(group: KeyGroup, rows: IntegerSet): RowSet {
  const all: RowRange = { lo: 0, hi: mul("n", sizeOf(group)) };
  const ranges = rows.map((part): RowRange => {
    const { lower, upper, guards, filters } = intervalOf(part, "k.row");
    const lo = lower.length === 0 ? all.lo : largest(lower);
    const end = upper.length === 0 ? all.hi : smallest(upper);
    const hi = guards.length === 0 ? end : select(conditionOf(guards), end, 0);
    return filters.length === 0 ? { lo, hi } : { lo, hi, where: conditionOf(filters.map(inTokens(group))) };
  });
  return { group: group.name, firstCopy: group.firstCopy, lastCopy: group.lastCopy, ranges };
}

/** A constraint on `k.row` as one on `pos` and `copy`. */
function inTokens(group: KeyGroup): (constraint: Constraint) => Constraint {
  const size = sizeOf(group);
  const copy = size === 1 ? constant(group.firstCopy) : variable("copy");
  const row = plus(scale(variable("pos"), size), shift(copy, -group.firstCopy));
  const values = new Map([["k.row", row]]);
  return (constraint) => ({ ...constraint, form: substituteForm(withPositions(constraint.form, size), values) });
}

/** ⌊k.row / (size·m)⌋ is ⌊pos / m⌋, whatever the copy: `pos` takes the place of the row in such floors. */
function withPositions(form: Affine, size: number): Affine {
  let result: Affine = { terms: [], constant: form.constant };
  for (const { atom, factor } of form.terms) {
    let value: Affine = { terms: [{ atom, factor: 1 }], constant: 0 };
    if (atom.kind === "floor" && atom.divisor % size === 0) {
      const [only, ...more] = atom.numerator.terms;
      if (more.length === 0 && only?.atom.key === "k.row" && only.factor === 1) {
        // ⌊(size·pos + c + r) / (size·m)⌋ with 0 <= c < size: the constant moves whole positions only if size divides it.
        if (atom.numerator.constant % size === 0) {
          value = floorOf(shift(variable("pos"), atom.numerator.constant / size), atom.divisor / size);
        }
      }
    }
    result = plus(result, scale(value, factor));
  }
  return result;
}

interface Range {
  readonly from: number;
  readonly to: number;
  readonly where?: Expr;
}

function evaluateRanges(rows: RowSet, env: Environment): Range[] {
  return rows.ranges
    .map(({ lo, hi, where }) => ({ from: evaluate(lo, env), to: evaluate(hi, env), where }))
    .filter(({ from, to }) => from < to)
    .sort((a, b) => a.from - b.from);
}

/** The maximal intervals [from, to) of the rows, ascending. Work grows with the intervals, and with the rows of ranges with holes. */
export function* eachInterval(rows: RowSet, env: Environment): Generator<readonly [number, number]> {
  let from = 0;
  let to = -1;
  for (const [nextFrom, nextTo] of merged(rows, env)) {
    if (nextFrom <= to) to = Math.max(to, nextTo);
    else {
      if (from < to) yield [from, to];
      from = nextFrom;
      to = nextTo;
    }
  }
  if (from < to) yield [from, to];
}

/** Intervals ascending by their start; they may touch or overlap. */
function* merged(rows: RowSet, env: Environment): Generator<readonly [number, number]> {
  const ranges = evaluateRanges(rows, env);
  const whole = ranges.filter(({ where }) => where === undefined);
  const holed = ranges.filter(({ where }) => where !== undefined);
  if (holed.length === 0) {
    for (const { from, to } of whole) yield [from, to];
    return;
  }
  const size = rows.lastCopy - rows.firstCopy + 1;
  const first = ranges[0]!.from;
  const last = Math.max(...ranges.map(({ to }) => to));
  for (let row = first; row < last; ) {
    const covering = whole.find(({ from, to }) => from <= row && row < to);
    if (covering !== undefined) {
      yield [row, covering.to];
      row = covering.to;
      continue;
    }
    const pos = Math.floor(row / size);
    const at = { ...env, pos, copy: rows.firstCopy + row - pos * size };
    if (holed.some(({ from, to, where }) => from <= row && row < to && evaluate(where!, at) !== 0))
      yield [row, row + 1];
    row++;
  }
}

/** How many rows there are for given sizes. */
export function countRows(rows: RowSet, env: Environment): number {
  let count = 0;
  for (const [from, to] of eachInterval(rows, env)) count += to - from;
  return count;
}

/** The rows in ascending order, as tokens and as row numbers. */
export function* eachRow(
  rows: RowSet,
  group: KeyGroup,
  env: Environment,
): Generator<{ readonly row: number; readonly pos: number; readonly copy: number }> {
  const size = sizeOf(group);
  for (const [from, to] of eachInterval(rows, env)) {
    for (let row = from; row < to; row++) {
      const pos = Math.floor(row / size);
      yield { row, pos, copy: group.firstCopy + row - pos * size };
    }
  }
}
