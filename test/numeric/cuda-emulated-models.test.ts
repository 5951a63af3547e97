/** Small models compiled for CUDA in every element type: the emitted text of every kernel on the emulated device, against float64. */
import { describe, expect, it } from "vitest";
import { ManifestRun } from "../../src/interpret/kernel/run-manifest.js";
import { cudaModel, evenShape, oddShape } from "../support/cuda-models.js";
import { emulatedKernels, missingCompiler } from "../unit/cuda/emulator.js";

describe.skipIf(missingCompiler !== undefined).each([
  ["f32", "odd sizes and rings", oddShape],
  ["f16", "odd sizes and rings", oddShape],
  ["bf16", "odd sizes and rings", oddShape],
  ["bf16", "sizes of whole tiles", evenShape],
] as const)("a model in %s on the emulated device, %s", (dtype, _, shape) => {
  it("agrees with the dense forward pass in prefill and decode, and samples its likeliest token", async () => {
    const { manifest, kernels, values, ids, expectLogits } = cudaModel(shape, dtype);
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
});
