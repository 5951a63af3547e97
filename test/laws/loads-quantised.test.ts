/** What a decode step on matrix units loads of small integers, counted by the kernel interpreter for every K up to 16. */
import { describe, expect, it } from "vitest";
import { cudaCapabilities } from "../../src/backends/cuda/capabilities.js";
import { AccessCounts } from "../../src/interpret/kernel/access-counts.js";
import { ManifestRun } from "../../src/interpret/kernel/run-manifest.js";
import type { Call } from "../../src/runtime/program.js";
import { predicateOf } from "../support/predicates.js";
import { scheduleGraph } from "../support/scheduled.js";
import { buildTransformer, randomWeights } from "../support/transformer.js";

/** The four lanes that share two outputs load their scales with one instruction from one place. */
const lanesOfScale = 4;

describe.each([4, 8] as const)("a decode step with weights of %i bits", (bits) => {
  it.each(Array.from({ length: 16 }, (_, index) => index + 1))(
    "loads every word once, and every scale in one load, K = %i",
    (copies) => {
      const graph = buildTransformer({
        // Outputs of whole tiles: a range that ends inside one may repeat the last. Inputs are not whole steps.
        ...{ vocab: 32, layers: 1, dim: 48, heads: 2, kvHeads: 1, headDim: 16, ffn: 80, copies },
        predicate: predicateOf(
          copies === 1 ? { variant: "vanilla", copies } : { variant: "phd-cswa", copies, window: 8, chunk: 16 },
        ),
      });
      const { manifest, kernels } = scheduleGraph(graph, {
        ...{ dtype: "bf16", capabilities: cudaCapabilities, target: "cuda", quantise: { bits, group: 16 } },
      });
      const weights = randomWeights(graph);
      const counted: { readonly call: Call; readonly counts: AccessCounts }[] = [];
      const run = new ManifestRun(manifest, kernels, (tensor) => weights(tensor).data, {
        ...{ context: 4, splits: 1 },
        countOf: (call) => {
          counted.push({ call, counts: new AccessCounts() });
          return counted.at(-1)!.counts;
        },
      });
      run.prefill([[3]]);
      counted.length = 0;
      run.decode([5]);

      const seen = new Set<string>();
      for (const { call, counts } of counted) {
        for (const name of counts.buffers) {
          const source = call.bindings[name]!;
          if (source.kind !== "weight") continue;
          const { quantised } = manifest.weights.find((weight) => weight.name === source.name)!;
          if (quantised === undefined) continue;
          expect(seen.has(source.name), source.name).toBe(false);
          seen.add(source.name);
          const times = quantised.part === "values" ? 1 : lanesOfScale;
          expect(new Set(counts.of(name).loadsOfElement), source.name).toEqual(new Set([times]));
        }
      }
      expect(seen.size).toBe(manifest.weights.filter(({ quantised }) => quantised !== undefined).length);
    },
  );
});
