/** Small models compiled for CUDA in every element type, and the float64 forward pass that their logits are held against. */
import { expect } from "vitest";
import { cudaCapabilities } from "../../src/backends/cuda/capabilities.js";
import { denseForward } from "../../src/interpret/graph/dense.js";
import { storedTensors } from "../../src/interpret/graph/stored-weights.js";
import type { WeightSource } from "../../src/interpret/graph/weights.js";
import { roundToBfloat, roundToHalf } from "../../src/ir/kernel/half.js";
import type { FloatType } from "../../src/ir/kernel/types.js";
import { runPasses } from "../../src/passes/pass.js";
import { repeatTokens } from "../../src/passes/tokens/repeat-tokens.js";
import type { Manifest, Quantisation } from "../../src/runtime/manifest.js";
import { predicateOf } from "./predicates.js";
import { type ScheduledModel, scheduleGraph } from "./scheduled.js";
import { buildTransformer, randomWeights, type TransformerShape } from "./transformer.js";

/** ‖out − ref‖ / ‖ref‖ of logits, weights rounded alike: what is left is the rounding of inputs, keys and weights of attention. */
const tolerances = { f32: 1e-5, f16: 5e-3, bf16: 2e-2 } as const;
const rounding = { f32: Math.fround, f16: roundToHalf, bf16: roundToBfloat } as const;

/** Nothing is divisible by anything, and rings wrap. */
export const oddShape: TransformerShape = {
  ...{ vocab: 37, layers: 3, dim: 20, heads: 4, kvHeads: 2, headDim: 6, ffn: 21, copies: 3 },
  predicate: predicateOf({ variant: "phd-cswa", copies: 3, window: 4, chunk: 5 }),
};
/** Whole tiles of matrix units. */
export const evenShape: TransformerShape = {
  ...{ vocab: 48, layers: 2, dim: 64, heads: 4, kvHeads: 4, headDim: 16, ffn: 96, copies: 2 },
  predicate: predicateOf({ variant: "phd-swa", copies: 2, window: 4 }),
};
/** The same with norms behind the products, which decode leaves to the product that reads them. */
export const withNormsBehind = (shape: TransformerShape): TransformerShape => ({
  ...shape,
  postNorm: true,
  queryKeyNorm: "row",
});

export interface CudaModel extends ScheduledModel {
  readonly values: (tensor: string) => ArrayLike<number>;
  /** A text of 16 tokens. */
  readonly ids: readonly number[];
  /** Holds the logits of the last prompt token and of every later one against the reference. */
  readonly expectLogits: (prompt: number, logits: readonly ArrayLike<number>[]) => void;
}

export function cudaModel(shape: TransformerShape, dtype: FloatType, quantise?: Quantisation): CudaModel {
  const { vocab } = shape;
  const graph = buildTransformer(shape);
  const own = { dtype, capabilities: cudaCapabilities, target: "cuda", ...(quantise && { quantise }) } as const;
  const scheduled = scheduleGraph(graph, own);
  const weights = randomWeights(graph);
  const ids = Array.from({ length: 16 }, (_, index) => (index * 11 + 5) % vocab);
  const dense = denseForward(runPasses([repeatTokens], graph), asStored(weights, scheduled.manifest, dtype), ids);
  return {
    ...scheduled,
    values: (tensor) => weights(tensor).data,
    ids,
    expectLogits: (prompt, logits) => {
      for (const [step, found] of logits.entries()) {
        const at = (prompt - 1 + step) * vocab;
        const expected = dense.subarray(at, at + vocab);
        expect(distance(found, expected), `position ${prompt - 1 + step}`).toBeLessThan(tolerances[dtype]);
      }
    },
  };
}

/** Matrices as the device has them: what small integers stand for, else rounded; vectors stay f32. */
export function asStored(weights: WeightSource, manifest: Manifest, dtype: FloatType): WeightSource {
  const stored = storedTensors(manifest);
  return (tensor) => {
    const found = weights(tensor);
    const kept = stored(tensor, found);
    if (found.shape.length < 2 || kept !== found) return kept;
    return { ...found, data: Float64Array.from(found.data, rounding[dtype]) };
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
