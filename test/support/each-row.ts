/** The rows of a set one by one, as its definition says: what counts and sums over rows are compared with. */
import { type Environment, evaluate } from "../../src/ir/expr.js";
import type { Token } from "../../src/ir/relation/predicate.js";
import type { RowSet } from "../../src/passes/tokens/row-set.js";

/** In the order of the row numbers. */
export function eachRow({ firstCopy, lastCopy, ranges }: RowSet, env: Environment): Token[] {
  const copies = lastCopy - firstCopy + 1;
  const found = new Map<number, Token>();
  for (const { lo, hi, where } of ranges) {
    const end = evaluate(hi, env);
    for (let row = evaluate(lo, env); row < end; row++) {
      const pos = Math.floor(row / copies);
      const token = { pos, copy: firstCopy + row - pos * copies };
      if (where === undefined || evaluate(where, { ...env, ...token }) !== 0) found.set(row, token);
    }
  }
  return [...found].sort(([a], [b]) => a - b).map(([, token]) => token);
}
