/**
 * The keys that are still there when a sequence is cut back to its first positions.
 *
 * A store that keeps every key forgets nothing while its sequence grows, but it holds only what some step had need of. A key that is
 * live at one length and at every greater one was written whatever the steps were; of others nothing is known.
 */
import { constant, variable } from "../../ir/relation/affine.js";
import {
  type IntegerSet,
  intersect,
  isEmpty,
  less,
  nothing,
  substitute,
  subtract,
  where,
} from "../../ir/relation/integer-set.js";
import { attempt } from "../../ir/relation/work.js";
import type { DemandAnalysis, GroupRows } from "./demand.js";
import { N, rowsBetween, START, stepContext } from "./group-relation.js";
import type { Retention } from "./infer-retention.js";
import { liveKeys } from "./live-keys.js";

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
    if (retention[layer]![index]!.layout.kind !== "forever" || !outlives(rows)) return nothing;
    // Live keys are described for lengths of at least 1.
    return intersect(substitute(rows, { n: START }), rowsBetween(analysis.groups[index]!, constant(0), START));
  });
  computed.set(live, lasting);
  return lasting;
}

/** Whether what is live once is live at all greater lengths. False where that costs too much to find out. */
function outlives(live: IntegerSet): boolean {
  const later = variable("later");
  const dying = () => subtract(intersect(live, where(stepContext, less(N, later))), substitute(live, { n: later }));
  return attempt(50_000, () => isEmpty(dying())) ?? false;
}
