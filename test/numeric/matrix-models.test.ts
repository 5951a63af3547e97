/** Small models compiled for CUDA in every element type, run by the kernel interpreter, against the float64 forward pass. */
import { describe, it } from "vitest";
import { ManifestRun } from "../../src/interpret/kernel/run-manifest.js";
import { cudaModel, evenShape, oddShape } from "../support/cuda-models.js";

describe.each(["f32", "f16", "bf16"] as const)("a model compiled for CUDA in %s", (dtype) => {
  it.each([
    ["odd sizes and rings", oddShape],
    ["sizes of whole tiles", evenShape],
  ] as const)("agrees with the dense forward pass: %s", (_, shape) => {
    const { manifest, kernels, values, ids, expectLogits } = cudaModel(shape, dtype);
    for (const prompt of [1, 11]) {
      const run = new ManifestRun(manifest, kernels, values, {
        ...{ context: 16, splits: 2, slice: 7, poison: Number.NaN, detectRaces: true },
      });
      const logits = run.prefill([ids.slice(0, prompt)]);
      for (const id of ids.slice(prompt)) logits.push(...run.decode([id]));
      expectLogits(prompt, logits);
    }
  });
});

describe.each([
  ["bf16", 4, 32],
  ["bf16", 8, 16],
  ["f16", 4, 16],
  ["f16", 8, 64],
  ["f32", 4, 32],
] as const)("a model compiled for CUDA in %s, its products with %i bits in groups of %i,", (dtype, bits, group) => {
  it.each([
    ["odd sizes and rings", oddShape],
    ["sizes of whole tiles", evenShape],
  ] as const)("agrees with the dense forward pass over what the integers stand for: %s", (_, shape) => {
    const { manifest, kernels, values, ids, expectLogits } = cudaModel(shape, dtype, { bits, group });
    const run = new ManifestRun(manifest, kernels, values, {
      ...{ context: 16, splits: 2, slice: 7, poison: Number.NaN, detectRaces: true },
    });
    const logits = run.prefill([ids.slice(0, 11)]);
    for (const id of ids.slice(11)) logits.push(...run.decode([id]));
    expectLogits(11, logits);
  });
});
