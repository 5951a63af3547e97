/** The derived plan beside brute force over all tokens. */
import type { AttentionSystem } from "../../../src/passes/tokens/attention-system.js";
import { DemandAnalysis } from "../../../src/passes/tokens/demand.js";
import { derivePrefill, type LayerDemand } from "../../../src/passes/tokens/derive-phases.js";
import { groupTokens, type KeyGroup } from "../../../src/passes/tokens/group-tokens.js";
import { inferRetention } from "../../../src/passes/tokens/infer-retention.js";
import { countRows } from "../../../src/passes/tokens/row-set.js";
import { eachRow } from "../../support/each-row.js";
import { liveByForce, prefillByForce, sightOf, steadyByForce } from "./brute-force.js";

/**
 * The first difference between the derived plan and brute force over all tokens, undefined where there is none.
 *
 * Of a relation that was too costly to analyse exactly, only rows that are missing count.
 */
export function firstDifference(
  system: AttentionSystem,
  horizon: number,
  lengths: readonly number[],
  mustBeExact = false,
): string | undefined {
  const groups = groupTokens(system);
  const analysis = new DemandAnalysis(system, groups);
  const prefill = derivePrefill(system, groups, analysis);
  const retention = inferRetention(system, groups, analysis);
  const isExact = analysis.approximation === undefined;
  if (mustBeExact && !isExact) return analysis.approximation!.message;
  const sight = sightOf(system, horizon);
  const steady = steadyByForce(system, sight, horizon);
  for (const n of lengths) {
    const live = liveByForce(system, sight, steady, n);
    for (const layer of system.layers.keys()) {
      const read = retention[layer]!.map(({ read }) => read);
      const difference = compareRows(read, groups, { n }, live[layer]!, system.copies, isExact);
      if (difference !== undefined) return `live keys of layer ${layer} after ${n}: ${difference}`;
    }
    for (let start = 0; start < n; start++) {
      const expected = prefillByForce(system, sight, live, n, start);
      for (const [layer, rows] of prefill.layers.entries()) {
        for (const part of ["kv", "query", "input"] as const) {
          const wanted = expected[layer]![part];
          // A slice from `start` on does the same whether what stands before it was another slice of the prompt or another prompt.
          for (const cached of [start, 0]) {
            const sizes = { n, start: cached, first: start };
            const difference = compareRows(rows[part], groups, sizes, wanted, system.copies, isExact);
            if (difference !== undefined) return `${part} of layer ${layer} for [${start}, ${n}): ${difference}`;
          }
        }
      }
    }
  }
  return undefined;
}

/** Compares rows at the positions from `first` on. */
function compareRows(
  rows: LayerDemand["kv"],
  groups: readonly KeyGroup[],
  { first = 0, ...sizes }: { readonly n: number; readonly start?: number; readonly first?: number },
  expected: readonly boolean[],
  copies: number,
  isExact: boolean,
): string | undefined {
  const found = expected.map(() => false);
  for (const [index, group] of groups.entries()) {
    let count = 0;
    for (const { pos, copy } of eachRow(rows[index]!, sizes)) {
      if (pos < 0 || pos >= sizes.n) return `pos ${pos} copy ${copy} is outside of the prompt`;
      if (pos >= first) found[pos * copies + copy - 1] = true;
      count++;
    }
    if (count !== countRows(rows[index]!, sizes))
      return `${group.name} counts ${countRows(rows[index]!, sizes)} of ${count}`;
  }
  const wrong = found.findIndex((flag, i) => (isExact ? flag !== expected[i] : expected[i] === true && !flag));
  if (wrong < 0) return undefined;
  return `pos ${Math.floor(wrong / copies)} copy ${(wrong % copies) + 1} is ${found[wrong] ? "not " : ""}demanded`;
}
