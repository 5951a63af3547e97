/** Small models compiled for CUDA in every element type, run by the kernel interpreter, against the float64 forward pass. */
import { describe, expect, it } from "vitest";
import { ManifestRun } from "../../src/interpret/kernel/run-manifest.js";
import { cudaModel, evenShape, oddShape, withNormsBehind } from "../support/cuda-models.js";

describe.each(["f32", "f16", "bf16"] as const)("a model compiled for CUDA in %s", (dtype) => {
  it.each([
    ["odd sizes and rings", oddShape],
    ["sizes of whole tiles", evenShape],
    ["odd sizes, norms behind products", withNormsBehind(oddShape)],
    ["sizes of whole tiles, norms behind products", withNormsBehind(evenShape)],
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

describe("norms behind products on matrix units", () => {
  /** The names of the steps that a layer behind the first runs in decode, for so many sequences of three copies each. */
  function decoded(batch: number): string[] {
    const { manifest, kernels, values, ids, expectLogits } = cudaModel(withNormsBehind(oddShape), "bf16");
    const steps: string[] = [];
    const run = new ManifestRun(manifest, kernels, values, {
      ...{ batch, context: 16, splits: 2, slice: 7, poison: Number.NaN, detectRaces: true },
      countOf: ({ layer, step }) => {
        if (layer === 1) steps.push(step);
        return undefined;
      },
    });
    const texts = Array.from({ length: batch }, () => ids.slice(0, 8));
    run.prefill(texts);
    steps.length = 0;
    const logits = run.decode(texts.map(() => ids[8]!));
    expect(logits.length).toBe(batch);
    for (const own of logits) expectLogits(9, [own]);
    return steps;
  }

  it("are left to the product that reads them while a block holds the rows, in six dispatches a layer", () => {
    const steps = decoded(2);
    expect(steps.length).toBe(6);
    expect(steps.filter((step) => step.startsWith("norm, add and multiply")).length).toBe(2);
  });

  it("are dispatches of their own in more rows", () => {
    const steps = decoded(11);
    expect(steps.length).toBe(8);
    expect(steps.some((step) => step.startsWith("norm, add and multiply"))).toBe(false);
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
    ["odd sizes, norms behind products", withNormsBehind(oddShape)],
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
