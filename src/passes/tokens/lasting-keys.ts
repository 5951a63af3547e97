/**
 * The keys that are still there when a sequence is cut back to its first positions.
 *
 * A store that keeps every key forgets nothing while its sequence grows, but it holds only what some step had need of. A key that is
 * live at one length and at every greater one was written whatever the steps were; of others nothing is known.
 */
import { constant } from "../../ir/relation/affine.js";
import { intersect, nothing, substitute } from "../../ir/relation/integer-set.js";
import type { DemandAnalysis, GroupRows } from "./demand.js";
import { rowsBetween, START } from "./group-relation.js";
import type { Retention } from "./infer-retention.js";
import { liveForEver, liveKeys } from "./live-keys.js";

const computed = new WeakMap<GroupRows, GroupRows>();

/** Per group, over `k.row` and `start`: keys of one layer that a sequence of at least `start` positions has, cut back to these. */
export function lastingKeys(
  analysis: DemandAnalysis,
  retention: readonly (readonly Retention[])[],
  layer: number,
): GroupRows {
  const live = liveKeys(analysis, layer);
  const known = computed.get(live);
  if (known !== undefined) return known;
  const lasting = live.map((rows, index) => {
    if (retention[layer]![index]!.layout.kind !== "forever" || liveForEver(rows) !== true) return nothing;
    // Live keys are described for lengths of at least 1.
    return intersect(substitute(rows, { n: START }), rowsBetween(analysis.groups[index]!, constant(0), START));
  });
  computed.set(live, lasting);
  return lasting;
}
