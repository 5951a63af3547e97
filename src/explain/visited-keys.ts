/**
 * How many pairs of a query and a key attention looks at: the sum, over query rows, of the keys between their bounds.
 */
import { type Environment, type Expr, evaluate, max, sub, substitute } from "../ir/expr.js";
import { type RowSet, segmentsOf, sumOverSegment } from "../passes/tokens/row-set.js";

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
      for (const { lo, hi } of keys) {
        const seen = substitute(max(0, sub(hi, lo)), { q_pos: "pos", q_copy: "copy" });
        total += sumOverSegment(rows, segment, seen, env);
      }
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
