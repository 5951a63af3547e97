/** Small models compiled for CUDA in every element type: the emitted text of every kernel on the emulated device, against float64. */
import { describe, expect, it } from "vitest";
import { ManifestRun } from "../../src/interpret/kernel/run-manifest.js";
import type { FloatType } from "../../src/ir/kernel/types.js";
import type { Quantisation } from "../../src/runtime/manifest.js";
import { cudaModel, evenShape, oddShape, withNormsBehind } from "../support/cuda-models.js";
import type { TransformerShape } from "../support/transformer.js";
import { emulatedKernels, missingCompiler } from "../unit/cuda/emulator.js";

interface Case {
  readonly dtype: FloatType;
  readonly name: string;
  readonly shape: TransformerShape;
  readonly quantise?: Quantisation;
}
const odd = { name: "odd sizes and rings", shape: oddShape };
const behind = { name: "odd sizes, norms behind products", shape: withNormsBehind(oddShape) };
const cases: readonly Case[] = [
  ...(["f32", "f16", "bf16"] as const).map((dtype) => ({ dtype, ...odd })),
  { dtype: "bf16", name: "sizes of whole tiles", shape: evenShape },
  { dtype: "bf16", ...behind },
  { dtype: "bf16", ...odd, name: "odd sizes, 4 bits in groups of 16", quantise: { bits: 4, group: 16 } },
  { dtype: "f16", ...odd, name: "odd sizes, 8 bits in groups of 32", quantise: { bits: 8, group: 32 } },
  { dtype: "f16", ...behind, name: "norms behind products, 4 bits in groups of 32", quantise: { bits: 4, group: 32 } },
];

describe.skipIf(missingCompiler !== undefined).each(cases)(
  "a model in $dtype on the emulated device, $name",
  ({ dtype, shape, quantise }) => {
    it("agrees with the dense forward pass in prefill and decode, and samples its likeliest token", async () => {
      const { manifest, kernels, values, ids, expectLogits } = cudaModel(shape, dtype, quantise);
      const device = await emulatedKernels(kernels);
      const run = new ManifestRun(manifest, kernels, values, {
        ...{ context: 16, splits: 2, slice: 7, poison: Number.NaN },
        execute: (kernel, run) => device.run(kernel.name, run),
      });
      const prompt = 11;
      const logits = run.prefill([ids.slice(0, prompt)]);
      for (const id of ids.slice(prompt)) logits.push(...run.decode([id]));
      expectLogits(prompt, logits);
      const last = logits.at(-1)!;
      expect(run.sample({ temperature: 0, topK: 0, topP: 1, seed: 1 })).toEqual([last.indexOf(Math.max(...last))]);
    }, 300_000);
  },
);
