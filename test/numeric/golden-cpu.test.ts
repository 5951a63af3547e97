/** Every golden model on the float64 interpreter. */
import { describe, expect, it } from "vitest";
import { denseForward } from "../../src/interpret/graph/dense.js";
import { CpuSession } from "../../src/interpret/graph/session.js";
import { runPasses } from "../../src/passes/pass.js";
import { repeatTokens } from "../../src/passes/tokens/repeat-tokens.js";
import { goldenCases, loadGolden } from "../support/golden.js";
import { buildTransformer } from "../support/transformer.js";

// The golden logits are float64 results rounded to float32, so half a unit in the last place of the largest logit is to be expected.
const tolerance = 1e-6;

describe.skipIf(goldenCases.length === 0)("golden models on the float64 interpreter", () => {
  it.each(goldenCases)("%s: the dense forward pass gives the golden logits", async (name) => {
    const { shape, weights, ids, logits } = await loadGolden(name);
    const graph = runPasses([repeatTokens], buildTransformer(shape));
    const dense = denseForward(graph, weights, ids);
    expect(dense.length).toBe(logits.length);
    expect(largestDifference(dense, logits) / largest(logits)).toBeLessThan(tolerance);
  });

  it.each(goldenCases)("%s: prefill and decode give the dense logits bit by bit", async (name) => {
    const { shape, weights, ids } = await loadGolden(name);
    const graph = runPasses([repeatTokens], buildTransformer(shape));
    const dense = denseForward(graph, weights, ids);
    const session = new CpuSession(graph, weights);
    const split = Math.floor(ids.length / 2);
    const steps = [session.prefill([ids.slice(0, split)]), ...ids.slice(split).map((id) => session.decode([id]))];
    for (const [step, [logits]] of steps.entries()) {
      const at = (split - 1 + step) * shape.vocab;
      expect(logits).toEqual(dense.slice(at, at + shape.vocab));
    }
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
