/**
 * Which rows each layer of a phase computes, found backwards from what is read.
 *
 * A prompt has n positions, and of the first `start` of them the keys that outlast a cut are cached. It owes the logits of its last
 * position, and every key and value that a later step reads. So in the last layer one query is demanded; in each layer the keys that
 * demanded queries or later steps read, as far as they are not cached; and what enters a layer, its demanded queries and keys, are the
 * queries of the layer below. All sets are exact and symbolic in n and start.
 *
 * The rows of a slice of the prompt are those at its positions: demand only ever goes to earlier positions, so a chain that leads to a
 * row of the slice has not been before it, and what is cached there changes nothing.
 */
import { constant, scale, shift } from "../../ir/relation/affine.js";
import {
  atMost,
  type IntegerSet,
  intersect,
  isEmpty,
  nothing,
  simplify,
  subtract,
  union,
  where,
} from "../../ir/relation/integer-set.js";
import type { Predicate } from "../../ir/relation/predicate.js";
import { attempt } from "../../ir/relation/work.js";
import { copiesIn } from "../../runtime/key-group.js";
import type { AttentionSystem } from "./attention-system.js";
import { copiesOf } from "./copies-of.js";
import {
  DemandAnalysis,
  followedUnits,
  type GroupRows,
  holdsCopy,
  joinRows,
  remember,
  type SteadyLayer,
  stepUnits,
  textOf,
} from "./demand.js";
import { KEY, N, promptContext, rowAt, rowsBetween } from "./group-relation.js";
import type { KeyGroup } from "./group-tokens.js";
import { inferRetention } from "./infer-retention.js";
import { lastingKeys } from "./lasting-keys.js";
import { liveKeys } from "./live-keys.js";
import { periodicDemand } from "./periodic-demand.js";
import { reachOf } from "./reach-of.js";
import { type RowSet, rowSetOf } from "./row-set.js";

export interface LayerDemand {
  /** Rows that get a key and a value. */
  readonly kv: readonly RowSet[];
  /** Rows that get a query, an output projection and the rest of the layer. */
  readonly query: readonly RowSet[];
  /** Rows whose residual stream enters the layer: both of the above. */
  readonly input: readonly RowSet[];
  /** Rows before start whose key and value are cached, even if the sequence was cut back to these positions. */
  readonly cached: readonly RowSet[];
}

/**
 * Rows in the symbols n (positions of the prompt) and start (positions whose lasting keys are cached), of which a slice takes those at
 * its own positions. The output is predictCopy at n - 1.
 */
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
  retention = inferRetention(system, groups, analysis),
): PrefillDemand {
  const lasting = system.layers.map((_, layer) => lastingKeys(analysis, retention, layer));
  const layers =
    attempt(followedUnits, () => layersOfPrompt(analysis, lasting, "exact")) ??
    attempt(periodicUnits, () => periodicDemand(analysis, lasting)) ??
    layersOfPrompt(analysis, lasting, "affordable");
  return { layers };
}

/** Work on following relations place by place. */
const periodicUnits = 1_000_000;

function layersOfPrompt(
  analysis: DemandAnalysis,
  lasting: readonly GroupRows[],
  precision: "exact" | "affordable",
): LayerDemand[] {
  const { system, groups } = analysis;
  const prompt = new PromptAnalysis(analysis, precision);
  const known: PromptLayer[] = [];
  const layers: LayerDemand[] = [];
  let queries: GroupRows = groups.map((group) =>
    holdsCopy(group, system.predictCopy) ? rowAt(group, shift(N, -1), system.predictCopy) : nothing,
  );
  for (let layer = system.layers.length - 1; layer >= 0; layer--) {
    const live = liveKeys(analysis, layer);
    // Where nothing is new since a layer above with the same relation, the demand has reached its fixed point.
    let state = known.find((candidate) => candidate.queries === queries && candidate.live === live);
    if (state === undefined) {
      state = prompt.layer(analysis.predicateOf(layer), queries, live, lasting[layer]!);
      known.push(state);
    }
    layers.unshift(state.demand);
    queries = state.input;
  }
  return layers;
}

interface PromptLayer {
  readonly queries: GroupRows;
  readonly live: GroupRows;
  /** Rows that enter the layer. */
  readonly input: GroupRows;
  readonly demand: LayerDemand;
}

/** The layers of a prompt, one after the other: all of them exact, or as long as that is affordable. */
class PromptAnalysis {
  private readonly simplified = new Map<string, IntegerSet>();
  private precision: "exact" | "around" | "everything" = "exact";

  constructor(
    private readonly analysis: DemandAnalysis,
    private readonly wanted: "exact" | "affordable",
  ) {}

  /** `live` are the keys that later steps read, `lasting` those that are cached. */
  layer(predicate: Predicate | undefined, queries: GroupRows, live: GroupRows, lasting: GroupRows): PromptLayer {
    if (this.precision !== "exact") return this.around(predicate, queries, live, lasting);
    const exact = () => {
      const keys = this.keysRead(predicate, queries, live, (group, read, index) =>
        this.keysToCompute(group, read, lasting[index]!),
      );
      return this.withKeys(queries, live, lasting, keys, joinRows(queries, keys, promptContext));
    };
    if (this.wanted === "exact") return exact();
    return this.analysis.exactOr(exact, () => {
      this.precision = "around";
      return this.around(predicate, queries, live, lasting);
    });
  }

  /**
   * Rows from the farthest that is needed to the end of the prompt. One exact set too complicated makes those below it more so.
   *
   * Such a plan computes rows that nobody demands, whose keys may be wrong where they read what is kept no more. So that none of them
   * takes the place of a cached key, everything is computed that a demanded row needs, cached or not.
   */
  private around(
    predicate: Predicate | undefined,
    queries: GroupRows,
    live: GroupRows,
    lasting: GroupRows,
  ): PromptLayer {
    const { groups } = this.analysis;
    const everyRow = groups.map((group) => rowsBetween(group, constant(0), N));
    if (this.precision === "everything") return this.withKeys(queries, live, lasting, everyRow, everyRow);
    const result = attempt(stepUnits, () => {
      const wide = groups.map((group, index) => lastRows(group, queries[index]!));
      const keys = this.keysRead(predicate, wide, live, lastRows);
      return this.withKeys(queries, live, lasting, keys, joinRows(wide, keys, promptContext));
    });
    if (result !== undefined) return result;
    this.precision = "everything";
    return this.withKeys(queries, live, lasting, everyRow, everyRow);
  }

  private keysRead(
    predicate: Predicate | undefined,
    queries: GroupRows,
    live: GroupRows,
    select: (group: KeyGroup, read: IntegerSet, index: number) => IntegerSet,
  ): GroupRows {
    if (predicate === undefined) return this.analysis.groups.map(() => nothing);
    return this.analysis.groups.map((group, index) =>
      select(group, union(this.analysis.keysSeen(predicate, queries, group), live[index]!), index),
    );
  }

  /** Those of the keys at positions of the prompt that are not cached. Many layers read the same originals, so results are kept by text. */
  private keysToCompute(group: KeyGroup, read: IntegerSet, lasting: IntegerSet): IntegerSet {
    return remember(this.simplified, `${group.name}: ${textOf(read)} without ${textOf(lasting)}`, () =>
      simplify(subtract(intersect(read, rowsBetween(group, constant(0), N)), lasting), promptContext),
    );
  }

  private withKeys(
    queries: GroupRows,
    live: GroupRows,
    lasting: GroupRows,
    keys: GroupRows,
    input: GroupRows,
  ): PromptLayer {
    const { groups } = this.analysis;
    const rowSets = (rows: GroupRows) => rows.map((set, index) => rowSetOf(groups[index]!, set));
    const demand = { kv: rowSets(keys), query: rowSets(queries), input: rowSets(input), cached: rowSets(lasting) };
    return { queries, live, input, demand };
  }
}

/** The rows of a prompt from the first of the set to the last; all of them where the distance from the end has no bound. */
function lastRows(group: KeyGroup, rows: IntegerSet): IntegerSet {
  const all = rowsBetween(group, constant(0), N);
  const inPrompt = intersect(rows, all);
  if (isEmpty(inPrompt)) return nothing;
  const reach = reachOf(group, inPrompt);
  return reach === undefined ? all : intersect(all, where(atMost(shift(scale(N, copiesIn(group)), -reach), KEY)));
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
