/**
 * Which rows each layer of a phase computes, found backwards from what is read.
 *
 * A slice takes the positions [start, n). It owes the logits of its last position, and every key and value that a later step reads.
 * So in the last layer one query is demanded; in each layer the keys that demanded queries or later steps read; and what enters a
 * layer, its demanded queries and keys, are the queries of the layer below. All sets are exact and symbolic in n and start.
 */
import { scale, shift } from "../../ir/relation/affine.js";
import {
  atMost,
  type IntegerSet,
  intersect,
  isEmpty,
  nothing,
  simplify,
  union,
  where,
} from "../../ir/relation/integer-set.js";
import type { Predicate } from "../../ir/relation/predicate.js";
import { attempt } from "../../ir/relation/work.js";
import type { AttentionSystem } from "./attention-system.js";
import { copiesOf } from "./copies-of.js";
import {
  DemandAnalysis,
  type GroupRows,
  holdsCopy,
  joinRows,
  remember,
  STEP_UNITS,
  type SteadyLayer,
  textOf,
} from "./demand.js";
import { KEY, N, rowAt, rowsBetween, START, sizeOf, sliceContext } from "./group-relation.js";
import type { KeyGroup } from "./group-tokens.js";
import { liveKeys } from "./live-keys.js";
import { reachOf } from "./reach-of.js";
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
  const slice = new SliceAnalysis(analysis);
  const known: SliceLayer[] = [];
  const layers: LayerDemand[] = [];
  let queries: GroupRows = groups.map((group) =>
    holdsCopy(group, system.predictCopy) ? rowAt(group, shift(N, -1), system.predictCopy) : nothing,
  );
  for (let layer = system.layers.length - 1; layer >= 0; layer--) {
    const live = liveKeys(analysis, layer);
    // Where nothing is new since a layer above with the same relation, the demand has reached its fixed point.
    let state = known.find((candidate) => candidate.queries === queries && candidate.live === live);
    if (state === undefined) {
      state = slice.layer(analysis.predicateOf(layer), queries, live);
      known.push(state);
    }
    layers.unshift(state.demand);
    queries = state.input;
  }
  return { layers };
}

interface SliceLayer {
  readonly queries: GroupRows;
  readonly live: GroupRows;
  /** Rows that enter the layer. */
  readonly input: GroupRows;
  readonly demand: LayerDemand;
}

/** The layers of a slice, one after the other, exact as long as that is affordable. */
class SliceAnalysis {
  private readonly simplified = new Map<string, IntegerSet>();
  private precision: "exact" | "around" | "everything" = "exact";

  constructor(private readonly analysis: DemandAnalysis) {}

  layer(predicate: Predicate | undefined, queries: GroupRows, live: GroupRows): SliceLayer {
    if (this.precision !== "exact") return this.around(predicate, queries, live);
    return this.analysis.exactOr(
      () => {
        const keys = this.keysRead(predicate, queries, live, (group, read) => this.keysOfSlice(group, read));
        return this.withKeys(queries, live, keys, joinRows(queries, keys, sliceContext));
      },
      () => {
        this.precision = "around";
        return this.around(predicate, queries, live);
      },
    );
  }

  /** Rows from the farthest that is needed to the end of the slice. One exact set too complicated makes those below it more so. */
  private around(predicate: Predicate | undefined, queries: GroupRows, live: GroupRows): SliceLayer {
    const { groups } = this.analysis;
    const everyRow = groups.map((group) => rowsBetween(group, START, N));
    if (this.precision === "everything") return this.withKeys(queries, live, everyRow, everyRow);
    const result = attempt(STEP_UNITS, () => {
      const wide = groups.map((group, index) => lastRows(group, queries[index]!));
      const keys = this.keysRead(predicate, wide, live, lastRows);
      return this.withKeys(queries, live, keys, joinRows(wide, keys, sliceContext));
    });
    if (result !== undefined) return result;
    this.precision = "everything";
    return this.withKeys(queries, live, everyRow, everyRow);
  }

  private keysRead(
    predicate: Predicate | undefined,
    queries: GroupRows,
    live: GroupRows,
    select: (group: KeyGroup, read: IntegerSet) => IntegerSet,
  ): GroupRows {
    if (predicate === undefined) return this.analysis.groups.map(() => nothing);
    return this.analysis.groups.map((group, index) =>
      select(group, union(this.analysis.keysSeen(predicate, queries, group), live[index]!)),
    );
  }

  /** Those of the keys at positions [start, n). Many layers read the same originals, so results are kept by text. */
  private keysOfSlice(group: KeyGroup, read: IntegerSet): IntegerSet {
    return remember(this.simplified, `${group.name}: ${textOf(read)}`, () =>
      simplify(intersect(read, rowsBetween(group, START, N)), sliceContext),
    );
  }

  private withKeys(queries: GroupRows, live: GroupRows, keys: GroupRows, input: GroupRows): SliceLayer {
    const { groups } = this.analysis;
    const rowSets = (rows: GroupRows) => rows.map((set, index) => rowSetOf(groups[index]!, set));
    return { queries, live, input, demand: { kv: rowSets(keys), query: rowSets(queries), input: rowSets(input) } };
  }
}

/** The rows of a slice from the first of the set to the last; all of them where the distance from the end has no bound. */
function lastRows(group: KeyGroup, rows: IntegerSet): IntegerSet {
  const inSlice = intersect(rows, rowsBetween(group, START, N));
  if (isEmpty(inSlice)) return nothing;
  const all = rowsBetween(group, START, N);
  const reach = reachOf(group, inSlice);
  return reach === undefined ? all : intersect(all, where(atMost(shift(scale(N, sizeOf(group)), -reach), KEY)));
}

export function deriveDecode(
  system: AttentionSystem,
  groups: readonly KeyGroup[],
  analysis = new DemandAnalysis(system, groups),
): DecodeDemand {
  const copiesIn = (group: KeyGroup, set: IntegerSet) =>
    set.length === 0
      ? []
      : analysis.exactOr(
          () => copiesOf(group, set),
          () => [[group.firstCopy, group.lastCopy] as const],
        );
  const copies = (rows: GroupRows) => joinIntervals(rows.flatMap((set, index) => copiesIn(groups[index]!, set)));
  const known = new Map<SteadyLayer, DecodeDemand["layers"][number]>();
  const layers = analysis.steadyLayers().map((layer) => {
    const demand = known.get(layer) ?? { kv: copies(layer.keys), query: copies(layer.queries) };
    known.set(layer, demand);
    return demand;
  });
  return { layers };
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
