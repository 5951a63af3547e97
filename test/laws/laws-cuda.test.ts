/** The consistency laws on the emulated CUDA device: random models, ragged batches, poison, and what a step leaves with the driver. */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { CudaDevice } from "../../src/runtime/cuda/device.js";
import { NoAdapter } from "../../src/runtime/errors.js";
import { openEmulatedCuda } from "../../src/runtime/node/cuda.js";
import { expectDense, expectNoPoison, loadOn } from "./on-device.js";
import { bases, blockOf, compileSmall, relations, usualBase } from "./small-models.js";

// Each model is compiled by the host's compiler first; machines that run the tests are often busy.
vi.setConfig({ testTimeout: 600_000, hookTimeout: 600_000 });

/** float32 sums of a few dozen terms, through at most four layers. */
const tolerance = 1e-4;
const forCuda = { target: "cuda", dtype: "f32" } as const;

const opened = await openEmulatedCuda().catch((error: unknown) => {
  if (!(error instanceof NoAdapter)) throw error;
  console.warn(`the laws on CUDA are skipped: ${error.message}`);
  return undefined;
});

describe.skipIf(opened === undefined)("on the emulated CUDA device", () => {
  let device: CudaDevice;
  beforeAll(() => {
    device = opened!;
  });
  afterAll(() => {
    expect(device.resources).toEqual({ context: 1, stream: 1 });
    device.close();
    expect(device.resources).toEqual({});
  });

  it("random models give the dense logits for sequences that stand at different places of their chunks", async () => {
    const models = fc.sample(fc.tuple(bases, relations), { numRuns: 4, seed: 20250611 });
    for (const [base, phd] of models) {
      const small = compileSmall(base, phd, forCuda);
      const model = await loadOn(device, small);
      await expectDense(model, small, tolerance, JSON.stringify({ base, phd }));
      model.close();
    }
  });

  it("poison leaves the logits of a ring in a chunk as they are, to the bit", async () => {
    const phd = blockOf("phd-cswa", { repeat: 3, window: 4, chunk: 4 });
    const model = await loadOn(device, compileSmall({ ...usualBase, num_hidden_layers: 3 }, phd, forCuda));
    await expectNoPoison(model, { validate: true });
    model.close();
  });

  it("a batch samples what its sequences sample alone, with a graph replayed per step", async () => {
    const phd = blockOf("phd-cswa", { repeat: 3, window: 4, chunk: 4 });
    const model = await loadOn(device, compileSmall(usualBase, phd, forCuda));
    const greedy = { temperature: 0, topK: 0, topP: 1, seed: 0 };
    const prompts = [[1], [2, 3, 4], [5, 6, 7, 8, 9]];
    const sample = async (texts: readonly number[][]) => {
      const session = await model.openSession({ batch: texts.length, context: 30 });
      const steps = [await (await session.prefillAndSample(texts, greedy))()];
      for (let step = 0; step < 5; step++) steps.push(await (await session.decodeAndSample())());
      expect(device.resources.graph).toBe(1);
      session.close();
      return steps;
    };
    const together = await sample(prompts);
    for (const [index, prompt] of prompts.entries()) {
      expect((await sample([prompt])).map(([id]) => id)).toEqual(together.map((ids) => ids[index]));
    }
    model.close();
  });
});
