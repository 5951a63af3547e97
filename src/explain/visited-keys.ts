/**
 * How many pairs of a query and a key attention looks at: the sum, over query rows, of the keys between their bounds.
 */
import { type Environment, type Expr, evaluate, max, sub } from "../ir/expr.js";
import { leastCommonMultiple, periodOf, stepOf } from "../passes/tokens/period-of.js";
import { type RowSet, type Segment, segmentsOf } from "../passes/tokens/row-set.js";
import { sumOver } from "./sum-over-positions.js";

/** From where to where a query looks in one key group, in `q_pos` and `q_copy`. */
export interface KeyRange {
  readonly lo: Expr;
  readonly hi: Expr;
}

/** Pairs that the queries of some rows look at in all key groups. */
export function visitedKeys(queries: readonly RowSet[], keys: readonly KeyRange[], env: Environment): number {
  let total = 0;
  for (const rows of queries) {
    for (const segment of segmentsOf(rows, env)) {
      for (const { lo, hi } of keys) total += pairsOf(rows, segment, max(0, sub(hi, lo)), env);
    }
  }
  return total;
}

function pairsOf(rows: RowSet, { from, to, conditions }: Segment, seen: Expr, env: Environment): number {
  const size = rows.lastCopy - rows.firstCopy + 1;
  let total = 0;
  for (let copy = rows.firstCopy; copy <= rows.lastCopy; copy++) {
    // The rows of this copy are those of the positions [first, end).
    const first = Math.ceil((from - (copy - rows.firstCopy)) / size);
    const end = Math.ceil((to - (copy - rows.firstCopy)) / size);
    const periods = conditions.map((condition) => periodOf(condition) ?? end - first);
    const step = [...periods, stepOf(seen, "q_pos")].reduce(leastCommonMultiple, 1);
    for (let pos = first; pos < Math.min(end, first + step); pos++) {
      const demanded =
        conditions.length === 0 || conditions.some((each) => evaluate(each, { ...env, pos, copy }) !== 0);
      if (!demanded) continue;
      const places = { first: pos, step, count: Math.ceil((end - pos) / step) };
      total += sumOver(seen, "q_pos", places, { ...env, q_copy: copy });
    }
  }
  return total;
}

/** Pairs that the given copies of one position look at. */
export function visitedByStep(copies: readonly number[], keys: readonly KeyRange[], position: number): number {
  const seenBy = (copy: number, { lo, hi }: KeyRange) => {
    const env = { q_pos: position, q_copy: copy };
    return Math.max(0, evaluate(hi, env) - evaluate(lo, env));
  };
  return copies.reduce((total, copy) => total + keys.reduce((sum, range) => sum + seenBy(copy, range), 0), 0);
}
