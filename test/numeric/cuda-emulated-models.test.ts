/** Small models compiled for CUDA in every element type: the emitted text of every kernel on the emulated device, against float64. */
import { describe, expect, it } from "vitest";
import { cudaCapabilities } from "../../src/backends/cuda/capabilities.js";
import { denseForward } from "../../src/interpret/graph/dense.js";
import type { WeightSource } from "../../src/interpret/graph/weights.js";
import { ManifestRun } from "../../src/interpret/kernel/run-manifest.js";
import { roundToBfloat, roundToHalf } from "../../src/ir/kernel/half.js";
import type { FloatType } from "../../src/ir/kernel/types.js";
import { runPasses } from "../../src/passes/pass.js";
import { repeatTokens } from "../../src/passes/tokens/repeat-tokens.js";
import { predicateOf } from "../support/predicates.js";
import { scheduleGraph } from "../support/scheduled.js";
import { buildTransformer, randomWeights, type TransformerShape } from "../support/transformer.js";
import { emulatedKernels } from "../unit/cuda/emulator.js";

/** ‖out − ref‖ / ‖ref‖ of logits, weights rounded alike: what is left is the rounding of inputs, keys and weights of attention. */
const tolerances = { f32: 1e-5, f16: 5e-3, bf16: 2e-2 } as const;
const rounding = { f32: Math.fround, f16: roundToHalf, bf16: roundToBfloat } as const;

/** Matrices as the device has them; vectors stay f32. */
function rounded(weights: WeightSource, dtype: FloatType): WeightSource {
  return (tensor) => {
    const found = weights(tensor);
    return found.shape.length < 2 ? found : { ...found, data: Float32Array.from(found.data, rounding[dtype]) };
  };
}

function distance(found: ArrayLike<number>, expected: ArrayLike<number>): number {
  let [squares, whole] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    squares += (found[i]! - expected[i]!) ** 2;
    whole += expected[i]! ** 2;
  }
  return Math.sqrt(squares / whole);
}

const odd: TransformerShape = {
  ...{ vocab: 37, layers: 3, dim: 20, heads: 4, kvHeads: 2, headDim: 6, ffn: 21, copies: 3 },
  predicate: predicateOf({ variant: "phd-cswa", copies: 3, window: 4, chunk: 5 }),
};
const even: TransformerShape = {
  ...{ vocab: 48, layers: 2, dim: 64, heads: 4, kvHeads: 4, headDim: 16, ffn: 96, copies: 2 },
  predicate: predicateOf({ variant: "phd-swa", copies: 2, window: 4 }),
};

describe.each([
  ["f32", "odd sizes and rings", odd],
  ["f16", "odd sizes and rings", odd],
  ["bf16", "odd sizes and rings", odd],
  ["bf16", "sizes of whole tiles", even],
] as const)("a model in %s on the emulated device, %s", (dtype, _, shape) => {
  it("agrees with the dense forward pass in prefill and decode, and samples its likeliest token", async () => {
    const graph = buildTransformer(shape);
    const model = scheduleGraph(graph, { dtype, capabilities: cudaCapabilities, target: "cuda" });
    const weights = rounded(randomWeights(graph), dtype);
    const ids = Array.from({ length: 14 }, (_, index) => (index * 11 + 5) % shape.vocab);
    const dense = denseForward(runPasses([repeatTokens], graph), weights, ids);
    const device = await emulatedKernels(model.kernels);
    const run = new ManifestRun(model.manifest, model.kernels, (tensor) => weights(tensor).data, {
      ...{ context: 16, splits: 2, slice: 7, poison: Number.NaN },
      execute: (kernel, run) => device.run(kernel.name, run),
    });
    const prompt = 9;
    const logits = run.prefill([ids.slice(0, prompt)]);
    for (const id of ids.slice(prompt)) logits.push(...run.decode([id]));
    for (const [step, found] of logits.entries()) {
      const at = (prompt - 1 + step) * shape.vocab;
      const expected = dense.subarray(at, at + shape.vocab);
      expect(distance(found, expected), `position ${prompt - 1 + step}`).toBeLessThan(tolerances[dtype]);
    }
    const last = logits.at(-1)!;
    expect(run.sample({ temperature: 0, topK: 0, topP: 1, seed: 1 })).toEqual([last.indexOf(Math.max(...last))]);
  });
});
