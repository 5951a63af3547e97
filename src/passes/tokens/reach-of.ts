import { minus, scale, variable } from "../../ir/relation/affine.js";
import { contains, type IntegerSet, intersect, project, substitute, where } from "../../ir/relation/integer-set.js";
import { intervalOf } from "../../ir/relation/interval.js";
import { copiesIn } from "../../runtime/key-group.js";
import { N, stepContext } from "./group-relation.js";
import type { KeyGroup } from "./group-tokens.js";

/**
 * How far behind the end of the sequence a row of the set over `k.row` and `n` can be, in rows of its group: the ring that holds them.
 * Undefined where there is no bound.
 */
export function reachOf(group: KeyGroup, rows: IntegerSet): number | undefined {
  const distance = variable("distance");
  // Sets that were simplified for lengths of at least 1 may hold anything for others.
  const ofSteps = intersect(rows, where(stepContext));
  const distances = project(substitute(ofSteps, { "k.row": minus(scale(N, copiesIn(group)), distance) }), [
    "n",
    "start",
  ]);
  let reach = 0;
  for (const part of distances) {
    const { upper } = intervalOf(part, "distance");
    const bounds = upper.filter((bound) => typeof bound === "number");
    if (bounds.length === 0) return undefined;
    let farthest = Math.min(...bounds) - 1;
    // A congruence may exclude the bound itself.
    while (farthest > reach && !contains([part], { distance: farthest })) farthest--;
    reach = Math.max(reach, farthest);
  }
  return reach;
}
