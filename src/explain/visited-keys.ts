/**
 * How many pairs of a query and a key attention looks at: the sum, over query rows, of the keys between their bounds.
 */
import { type Environment, type Expr, evaluate, max, select, sub, substitute } from "../ir/expr.js";
import { stepOf } from "../passes/tokens/period-of.js";
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
  const tokens = { pos: "q_pos", copy: "q_copy" };
  const demanded = conditions.length === 0 ? 1 : max(...conditions.map((condition) => substitute(condition, tokens)));
  const pairs = select(demanded, seen, 0);
  let total = 0;
  for (let copy = rows.firstCopy; copy <= rows.lastCopy; copy++) {
    // The rows of this copy are those of the positions [first, end).
    const first = Math.ceil((from - (copy - rows.firstCopy)) / size);
    const end = Math.ceil((to - (copy - rows.firstCopy)) / size);
    const step = usefulStep(pairs, end - first);
    for (let pos = first; pos < Math.min(end, first + step); pos++) {
      const places = { first: pos, step, count: Math.ceil((end - pos) / step) };
      total += sumOver(pairs, "q_pos", places, { ...env, q_copy: copy });
    }
  }
  return total;
}

/**
 * Positions apart that are summed together. Roundings by small divisors come out alike after a common multiple of them; those by divisors
 * so large that few multiples lie within the stretch are left to the halving of sums.
 */
function usefulStep(pairs: Expr, positions: number): number {
  let most = Math.max(1, Math.ceil(Math.sqrt(positions)));
  let step = stepOf(pairs, "q_pos", most);
  while (most > 1 && step > mostSteps) {
    most = Math.floor(most / 2);
    step = stepOf(pairs, "q_pos", most);
  }
  return step;
}

const mostSteps = 100_000;

/** Pairs that the given copies of one position look at. */
export function visitedByStep(copies: readonly number[], keys: readonly KeyRange[], position: number): number {
  const seenBy = (copy: number, { lo, hi }: KeyRange) => {
    const env = { q_pos: position, q_copy: copy };
    return Math.max(0, evaluate(hi, env) - evaluate(lo, env));
  };
  return copies.reduce((total, copy) => total + keys.reduce((sum, range) => sum + seenBy(copy, range), 0), 0);
}
