/**
 * The keys that are still read after a step.
 */
import { constant, scale } from "../../ir/relation/affine.js";
import { atMost, type IntegerSet, intersect, nothing, simplify, where } from "../../ir/relation/integer-set.js";
import type { Predicate } from "../../ir/relation/predicate.js";
import { attempt } from "../../ir/relation/work.js";
import { type DemandAnalysis, FOLLOWED_UNITS, type GroupRows, textOf } from "./demand.js";
import { KEY, N, rowsBetween, sizeOf, stepContext } from "./group-relation.js";
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
    attempt(FOLLOWED_UNITS / 4, () => seenLater(analysis, relation, queries, group)) ??
    analysis.periodic?.keysSeenLater(relation, queries, group) ??
    seenLater(analysis, relation, queries, group)
  );
}

function seenLater(analysis: DemandAnalysis, relation: Predicate, queries: GroupRows, group: KeyGroup): IntegerSet {
  const later = queries.map((set, index) => {
    const start = scale(N, sizeOf(analysis.groups[index]!));
    return simplify(intersect(set, where(atMost(start, KEY))), stepContext);
  });
  const seen = analysis.keysSeen(relation, later, group);
  return simplify(intersect(seen, rowsBetween(group, constant(0), N)), stepContext);
}
