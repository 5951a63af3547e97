/**
 * Which rows each layer of a phase computes, found backwards from what is read.
 *
 * A slice takes the positions [start, n). It owes the logits of its last position, and every key and value that a later step reads.
 * So in the last layer one query is demanded; in each layer the keys that demanded queries or later steps read; and what enters a
 * layer, its demanded queries and keys, are the queries of the layer below. All sets are exact and symbolic in n and start.
 */
import { shift } from "../../ir/relation/affine.js";
import { type IntegerSet, intersect, nothing, simplify, union } from "../../ir/relation/integer-set.js";
import { withinBudget } from "./analysis-budget.js";
import type { AttentionSystem } from "./attention-system.js";
import { copiesOf } from "./copies-of.js";
import { DemandAnalysis, type GroupRows, holdsCopy, joinRows, remember, type SteadyLayer, textOf } from "./demand.js";
import { N, rowAt, rowsBetween, START, sliceContext } from "./group-relation.js";
import type { KeyGroup } from "./group-tokens.js";
import { liveKeys } from "./live-keys.js";
import { type RowSet, rowSetOf } from "./row-set.js";

export interface LayerDemand {
  /** Rows that get a key and a value. */
  readonly kv: readonly RowSet[];
  /** Rows that get a query, an output projection and the rest of the layer. */
  readonly query: readonly RowSet[];
  /** Rows whose residual stream enters the layer: both of the above. */
  readonly input: readonly RowSet[];
}

/** Rows in the symbols n (positions after the slice) and start (positions before it). The output is predictCopy at n - 1. */
export interface PrefillDemand {
  readonly layers: readonly LayerDemand[];
}

/** Inclusive copy intervals of the newest position that a step computes, at whatever position: sound, and the same for every step. */
export interface DecodeDemand {
  readonly layers: readonly { readonly kv: number[][]; readonly query: number[][] }[];
}

export function derivePrefill(
  system: AttentionSystem,
  groups: readonly KeyGroup[],
  analysis = new DemandAnalysis(system, groups),
): PrefillDemand {
  return withinBudget(system, "the rows that a slice of the prompt computes", () => {
    const rowSets = (rows: GroupRows) => rows.map((set, index) => rowSetOf(groups[index]!, set));
    const known: {
      readonly queries: GroupRows;
      readonly live: GroupRows;
      readonly input: GroupRows;
      readonly demand: LayerDemand;
    }[] = [];
    const simplified = new Map<string, IntegerSet>();
    const layers: LayerDemand[] = [];
    let queries: GroupRows = groups.map((group) =>
      holdsCopy(group, system.predictCopy) ? rowAt(group, shift(N, -1), system.predictCopy) : nothing,
    );
    for (let layer = system.layers.length - 1; layer >= 0; layer--) {
      const live = liveKeys(analysis, layer);
      // Where nothing is new since a layer above with the same relation, the demand has reached its fixed point.
      let state = known.find((candidate) => candidate.queries === queries && candidate.live === live);
      if (state === undefined) {
        const predicate = analysis.predicateOf(layer);
        const keys = groups.map((group, index) => {
          const read = predicate === undefined ? nothing : analysis.keysSeen(predicate, queries, group);
          return keysOfSlice(union(read, live[index]!), group, simplified);
        });
        const input = joinRows(queries, keys, sliceContext);
        state = { queries, live, input, demand: { kv: rowSets(keys), query: rowSets(queries), input: rowSets(input) } };
        known.push(state);
      }
      layers.unshift(state.demand);
      queries = state.input;
    }
    return { layers };
  });
}

/** Those keys of the positions [start, n) that are read. Many layers read the same originals, so results are kept by text. */
function keysOfSlice(read: IntegerSet, group: KeyGroup, simplified: Map<string, IntegerSet>): IntegerSet {
  return remember(simplified, `${group.name}: ${textOf(read)}`, () =>
    simplify(intersect(read, rowsBetween(group, START, N)), sliceContext),
  );
}

export function deriveDecode(
  system: AttentionSystem,
  groups: readonly KeyGroup[],
  analysis = new DemandAnalysis(system, groups),
): DecodeDemand {
  const copies = (rows: GroupRows) => joinIntervals(rows.flatMap((set, index) => copiesOf(groups[index]!, set)));
  return withinBudget(system, "the rows that a decode step computes", () => {
    const known = new Map<SteadyLayer, DecodeDemand["layers"][number]>();
    const layers = analysis.steadyLayers().map((layer) => {
      const demand = known.get(layer) ?? { kv: copies(layer.keys), query: copies(layer.queries) };
      known.set(layer, demand);
      return demand;
    });
    return { layers };
  });
}

function joinIntervals(intervals: readonly (readonly [number, number])[]): number[][] {
  const joined: number[][] = [];
  for (const [first, last] of [...intervals].sort((a, b) => a[0] - b[0])) {
    const previous = joined.at(-1);
    if (previous !== undefined && first <= previous[1]! + 1) previous[1] = Math.max(previous[1]!, last);
    else joined.push([first, last]);
  }
  return joined;
}
