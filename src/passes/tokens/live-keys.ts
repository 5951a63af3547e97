/**
 * The keys that are still read after a step.
 */
import { constant, scale, variable } from "../../ir/relation/affine.js";
import {
  atMost,
  type IntegerSet,
  intersect,
  isEmpty,
  less,
  nothing,
  simplify,
  substitute,
  subtract,
  where,
} from "../../ir/relation/integer-set.js";
import type { Predicate } from "../../ir/relation/predicate.js";
import { attempt } from "../../ir/relation/work.js";
import { copiesIn } from "../../runtime/key-group.js";
import { type DemandAnalysis, followedUnits, type GroupRows, textOf } from "./demand.js";
import { KEY, N, rowsBetween, stepContext } from "./group-relation.js";
import type { KeyGroup } from "./group-tokens.js";

const computed = new WeakMap<DemandAnalysis, Map<string, GroupRows>>();

/**
 * Keys of positions before n, in one layer, that a demanded query at position n or later sees; per group, over `k.row` and `n`.
 *
 * Layers with equal demand and the same relation share one array.
 */
export function liveKeys(analysis: DemandAnalysis, layer: number): GroupRows {
  const predicate = analysis.predicateOf(layer);
  const { queries } = analysis.steadyLayers()[layer]!;
  const known = computed.get(analysis) ?? new Map<string, GroupRows>();
  computed.set(analysis, known);
  const key = `${analysis.system.layers[layer]} ${queries.map(textOf).join(" | ")}`;
  const before = known.get(key);
  if (before !== undefined) return before;
  const live = analysis.groups.map((group) =>
    predicate === undefined
      ? nothing
      : analysis.exactOr(
          () => liveThrough(analysis, predicate, queries, group),
          () => rowsBetween(group, constant(0), N),
        ),
  );
  known.set(key, live);
  return live;
}

/** The keys of one group that demanded queries at position n or later see through one relation, a layer's or a part of it. */
export function liveThrough(
  analysis: DemandAnalysis,
  relation: Predicate,
  queries: GroupRows,
  group: KeyGroup,
): IntegerSet {
  return (
    attempt(followedUnits / 4, () => seenLater(analysis, relation, queries, group)) ??
    analysis.periodic?.keysSeenLater(relation, queries, group) ??
    seenLater(analysis, relation, queries, group)
  );
}

function seenLater(analysis: DemandAnalysis, relation: Predicate, queries: GroupRows, group: KeyGroup): IntegerSet {
  const later = queries.map((set, index) => {
    const start = scale(N, copiesIn(analysis.groups[index]!));
    return simplify(intersect(set, where(atMost(start, KEY))), stepContext);
  });
  const seen = analysis.keysSeen(relation, later, group);
  return simplify(intersect(seen, rowsBetween(group, constant(0), N)), stepContext);
}

/** Whether what is live once is live at all greater lengths; undefined where that costs too much to find out. */
export function liveForEver(live: IntegerSet): boolean | undefined {
  const later = variable("later");
  const dying = () => subtract(intersect(live, where(stepContext, less(N, later))), substitute(live, { n: later }));
  return attempt(50_000, () => isEmpty(dying()));
}
