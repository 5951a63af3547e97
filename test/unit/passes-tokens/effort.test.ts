import { describe, expect, it } from "vitest";
import type { Predicate } from "../../../src/ir/relation/predicate.js";
import { withBudget } from "../../../src/ir/relation/work.js";
import type { AttentionSystem } from "../../../src/passes/tokens/attention-system.js";
import { checkRelation } from "../../../src/passes/tokens/check-relation.js";
import { DemandAnalysis } from "../../../src/passes/tokens/demand.js";
import { deriveDecode, derivePrefill } from "../../../src/passes/tokens/derive-phases.js";
import { groupTokens } from "../../../src/passes/tokens/group-tokens.js";
import { inferRetention } from "../../../src/passes/tokens/infer-retention.js";
import { keyBounds } from "../../../src/passes/tokens/key-bounds.js";
import { and, at, compare, num } from "../relation/arbitrary-predicate.js";
import { costly, modelOf, naive, phd, phdCswa, phdSwa, phdSwaPositions } from "./library.js";

function analyse(system: AttentionSystem): void {
  const groups = groupTokens(system);
  const analysis = new DemandAnalysis(system, groups);
  derivePrefill(system, groups, analysis);
  deriveDecode(system, groups, analysis);
  inferRetention(system, groups, analysis);
  checkRelation(system);
  for (const predicate of system.predicates) for (const group of groups) keyBounds(predicate, system.copies, group);
}

describe("the effort of all analyses together", () => {
  // A step is about a microsecond; the count is the same on every machine.
  const STEPS = 40_000;
  const variants = (K: number): readonly (readonly [string, Predicate])[] => [
    ["naive repetition", naive],
    ["PHD", phd],
    ["PHD-SWA", phdSwa(K, 16)],
    ["PHD-SWA with a long window", phdSwa(K, 1024)],
    ["PHD-SWA in positions", phdSwaPositions(16)],
    ["PHD-CSWA", phdCswa(K, 16, 32)],
    ["PHD-CSWA with a window beyond the chunk", phdCswa(K, 4096, 32)],
    ["PHD-CSWA with long chunks", phdCswa(K, 16, 4096)],
  ];

  it.each([1, 2, 3, 16, 256])("stays small for 16 layers of every variant with K = %i", (K) => {
    for (const [, predicate] of variants(K)) {
      withBudget({ units: STEPS, analysis: "a library variant" }, () => analyse(modelOf(K, predicate, 16)));
    }
  });

  it("does not grow with layers once the demand has reached its fixed point", () => {
    const system = modelOf(256, phdCswa(256, 4096, 32), 1000);
    withBudget({ units: STEPS, analysis: "a deep model" }, () => analyse(system));
  });

  it("names the costliest term where a relation is beyond it", () => {
    const system = modelOf(3, and(costly, compare(at("k.copy"), "<=", num(2))), 4);
    const analysis = new DemandAnalysis(system, groupTokens(system));
    derivePrefill(system, analysis.groups, analysis);
    expect(analysis.approximation?.message).toMatch(
      /too costly to analyse exactly, most of all `.* mod 7 < .* mod 5`$/,
    );
  });
});
