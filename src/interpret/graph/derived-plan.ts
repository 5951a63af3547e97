/**
 * The plan that the analyses derive: compute the demanded rows, keep what retention says.
 */
import { type Environment, evaluate } from "../../ir/expr.js";
import type { Graph } from "../../ir/graph/ops.js";
import type { Token } from "../../ir/relation/predicate.js";
import { analyseTokens, type TokenFacts } from "../../passes/analyse-tokens.js";
import { keepsToken } from "../../passes/tokens/keeps-token.js";
import type { RowSet } from "../../passes/tokens/row-set.js";
import { copiesIn, groupOf } from "../../runtime/key-group.js";
import type { RowPlan } from "./row-plan.js";

export function derivedPlan(graph: Graph, facts: TokenFacts = analyseTokens(graph)): RowPlan {
  const groupOfToken = ({ pos, copy }: Token) => groupOf(facts.groups, pos, copy);
  const predicts = ({ pos, copy }: Token, positions: number) =>
    pos === positions - 1 && copy === graph.predictCopy ? 1 : 0;
  return {
    depth(token, start, positions) {
      const group = groupOfToken(token);
      const sizes = { n: positions, start };
      // A row that leaves a layer enters the next, so counting says how far it goes.
      const entered = facts.prefill.layers.filter(({ input }) => holds(input[group]!, token, sizes)).length;
      return entered + predicts(token, positions);
    },
    stepDepth(token, positions) {
      const within = (intervals: number[][]) => intervals.some(([a, b]) => a! <= token.copy && token.copy <= b!);
      const entered = facts.decode.layers.filter(({ kv, query }) => within(kv) || within(query)).length;
      return entered + predicts(token, positions);
    },
    keeps(layer, token, positions) {
      const group = groupOfToken(token);
      return keepsToken(facts.retention[layer]![group]!.layout, facts.groups[group]!, token, positions);
    },
  };
}

function holds(rows: RowSet, { pos, copy }: Token, sizes: Environment): boolean {
  const index = pos * copiesIn(rows) + copy - rows.firstCopy;
  return rows.ranges.some(
    ({ lo, hi, where }) =>
      evaluate(lo, sizes) <= index &&
      index < evaluate(hi, sizes) &&
      (where === undefined || evaluate(where, { ...sizes, pos, copy }) !== 0),
  );
}
