/** Every golden model on the float64 interpreter, as built and as fused. */
import { describe, expect, it } from "vitest";
import { CpuSession, computeEverything, createCpuSession, denseForward } from "../../src/interpret/graph/index.js";
import { runPasses } from "../../src/passes/pass.js";
import { graphPipeline, tokenPipeline } from "../../src/passes/pipeline.js";
import { goldenCases, loadGolden } from "../support/golden.js";
import { buildTransformer } from "../support/transformer.js";

// The golden logits are float64 results rounded to float32: half a unit in the last place of the largest logit is to be expected.
const tolerance = 1e-7;

describe.skipIf(goldenCases.length === 0)("golden models on the float64 interpreter", () => {
  it.each(goldenCases)("%s: the dense forward pass gives the golden logits", async (name) => {
    const { shape, weights, ids, logits } = await loadGolden(name);
    const model = buildTransformer(shape);
    const dense = denseForward(runPasses(tokenPipeline, model), weights, ids);
    expect(dense.length).toBe(logits.length);
    expect(largestDifference(dense, logits) / largest(logits)).toBeLessThan(tolerance);
    expect(denseForward(runPasses(graphPipeline, model), weights, ids)).toEqual(dense);
  });

  it.each(goldenCases)(
    "%s: demanded rows and kept keys suffice, bit by bit, wherever the prompt ends",
    async (name) => {
      const { shape, weights, ids } = await loadGolden(name);
      const graph = runPasses(graphPipeline, buildTransformer(shape));
      const dense = denseForward(graph, weights, ids);
      const expected = (position: number) => dense.slice(position * shape.vocab, (position + 1) * shape.vocab);
      for (const split of [1, Math.floor(ids.length / 2), ids.length]) {
        const session = createCpuSession(graph, weights);
        expect(session.prefill([ids.slice(0, split)])[0]).toEqual(expected(split - 1));
        for (let position = split; position < ids.length; position++) {
          expect(session.decode([ids[position]!])[0]).toEqual(expected(position));
        }
      }
    },
  );

  it.each(goldenCases)("%s: computing and keeping everything gives the same", async (name) => {
    const { shape, weights, ids } = await loadGolden(name);
    const graph = runPasses(tokenPipeline, buildTransformer(shape));
    const dense = denseForward(graph, weights, ids);
    const session = new CpuSession(graph, weights, { plan: computeEverything(graph) });
    session.prefill([ids.slice(0, 5)]);
    expect(session.advance([ids.slice(5)])[0]).toEqual(dense.slice((ids.length - 1) * shape.vocab));
  });
});

function largest(values: Iterable<number>): number {
  let result = 0;
  for (const value of values) result = Math.max(result, Math.abs(value));
  return result;
}

function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  return largest(Array.from(a, (value, index) => value - b[index]!));
}
