/**
 * Rows that a phase computes, as data that a run time can evaluate: ranges of row numbers, with a condition where they have holes.
 */
import { type Environment, type Expr, evaluate, max, mul, select } from "../../ir/expr.js";
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
import { copiesIn } from "../../runtime/key-group.js";
import type { KeyGroup } from "./group-tokens.js";
import { sumBetween } from "./sum-over-positions.js";

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
  const all: RowRange = { lo: 0, hi: mul("n", copiesIn(group)) };
  const ranges = rows.map((part): RowRange => {
    const { lower, upper, guards, filters } = intervalOf(part, "k.row");
    const lo = lower.length === 0 ? all.lo : largest(lower);
    const end = upper.length === 0 ? all.hi : smallest(upper);
    const hi = guards.length === 0 ? end : select(conditionOf(guards), end, lo);
    return filters.length === 0 ? { lo, hi } : { lo, hi, where: conditionOf(filters.map(inTokens(group))) };
  });
  return { group: group.name, firstCopy: group.firstCopy, lastCopy: group.lastCopy, ranges };
}

/** A constraint on `k.row` as one on `pos` and `copy`. */
function inTokens(group: KeyGroup): (constraint: Constraint) => Constraint {
  const size = copiesIn(group);
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

/** Neighbouring rows [from, to) that are all in the set, or those of them for which one of the conditions holds. */
export interface Segment {
  readonly from: number;
  readonly to: number;
  readonly conditions: readonly Expr[];
}

/** The set cut at the ends of its ranges: ascending segments that do not overlap. */
export function segmentsOf(rows: RowSet, env: Environment): Segment[] {
  const ranges = rows.ranges
    .map(({ lo, hi, where }) => ({ from: evaluate(lo, env), to: evaluate(hi, env), where }))
    .filter(({ from, to }) => from < to);
  const cuts = [...new Set(ranges.flatMap(({ from, to }) => [from, to]))].sort((a, b) => a - b);
  return cuts.slice(1).flatMap((to, index) => {
    const from = cuts[index]!;
    const covering = ranges.filter((range) => range.from <= from && to <= range.to);
    if (covering.length === 0) return [];
    const isWhole = covering.some(({ where }) => where === undefined);
    return [{ from, to, conditions: isWhole ? [] : covering.map(({ where }) => where!) }];
  });
}

/** How many rows there are for given sizes, however many that is. */
export function countRows(rows: RowSet, env: Environment): number {
  return segmentsOf(rows, env).reduce((count, segment) => count + countSegment(rows, segment, env), 0);
}

const countSegment = (rows: RowSet, segment: Segment, env: Environment): number =>
  segment.conditions.length === 0 ? segment.to - segment.from : sumOverSegment(rows, segment, 1, env);

/** The sum of an expression in `pos` and `copy` over the rows of a segment. */
export function sumOverSegment(rows: RowSet, { from, to, conditions }: Segment, expr: Expr, env: Environment): number {
  const size = copiesIn(rows);
  const counted = conditions.length === 0 ? expr : select(max(...conditions), expr, 0);
  let total = 0;
  for (let place = 0; place < size; place++) {
    // The rows of this copy are those of the positions [first, end).
    const [first, end] = [Math.ceil((from - place) / size), Math.ceil((to - place) / size)];
    total += sumBetween(counted, "pos", first, end, { ...env, copy: rows.firstCopy + place });
  }
  return total;
}
