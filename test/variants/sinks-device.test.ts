/** Attention sinks with a window on devices: rings that go round beside keys that are kept for ever, in a ragged batch. */
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { CompileOptions } from "../../src/compile.js";
import type { ComputeDevice } from "../../src/runtime/compute-device.js";
import { NoAdapter } from "../../src/runtime/errors.js";
import { findAdapter } from "../../src/runtime/node/adapter.js";
import { openEmulatedCuda } from "../../src/runtime/node/cuda.js";
import { openDevice } from "../../src/runtime/webgpu/device.js";
import { loadOn, run, textOf } from "../laws/on-device.js";
import { compileSmall, differenceAt, type PhdBlock, usualBase } from "../laws/small-models.js";

// Seconds of work each; machines that run the tests are often busy.
vi.setConfig({ testTimeout: 600_000, hookTimeout: 600_000 });

const relations: readonly (readonly [string, number, string])[] = [
  ["a plain window", 1, "causal(q, k) and (k.pos < 3 or q.pos - k.pos <= 4)"],
  ["all copies", 3, "k.pos < q.pos and (k.pos < 2 or q.pos - k.pos <= 3) or own(q, k)"],
  ["chunks behind them", 2, "own(q, k) or k.pos < q.pos and (k.pos < 3 or q.pos div 4 == k.pos div 4)"],
];

/** Positions before the second piece of a prompt and before decode: inside the sinks, at their end, and far behind them. */
const cuts = [
  [1, 2],
  [2, 7],
  [9, 15],
] as const;
const continued = 6;

async function expectDense(
  device: ComputeDevice,
  [, repeat, attend]: (typeof relations)[number],
  tolerance: number,
  options?: CompileOptions,
): Promise<void> {
  const phd: PhdBlock = { variant: "phd", repeat, attend };
  const small = compileSmall({ ...usualBase, num_hidden_layers: 3 }, phd, options);
  expect(small.manifest.groups.some(({ endPos }) => endPos !== undefined)).toBe(true);
  const texts = cuts.map(([, end]) => textOf(end + continued, usualBase.vocab_size));
  const model = await loadOn(device, small);
  const steps = await run(model, texts, cuts, { slice: 4, splits: 2 });
  model.close();
  expect(steps).toHaveLength(1 + continued);
  for (const [index, ids] of texts.entries()) {
    const dense = small.dense(ids);
    for (const [step, logits] of steps.entries()) {
      const position = cuts[index]![1] - 1 + step;
      expect(differenceAt(dense, position, logits[index]!), `sequence ${index}, position ${position}`).toBeLessThan(
        tolerance,
      );
    }
  }
}

/** float32 sums of a few dozen terms; and halves of 11 bits, rounded a few times in each of three layers. */
const tolerances = { f32: 1e-4, f16: 1e-2 } as const;

describe("on a WebGPU device", () => {
  let device: Awaited<ReturnType<typeof openDevice>>;
  beforeAll(async () => {
    device = await openDevice((await findAdapter("software")).adapter);
  });
  afterAll(() => device.close());

  it.each(relations)("sinks of %s give the dense logits, K = %i", async (...relation) => {
    await expectDense(device, relation, tolerances.f32);
  });
});

const emulated = await openEmulatedCuda().catch((error: unknown) => {
  if (!(error instanceof NoAdapter)) throw error;
  console.warn(`sinks on CUDA are skipped: ${error.message}`);
  return undefined;
});

describe.skipIf(emulated === undefined)("on the emulated CUDA device", () => {
  afterAll(() => emulated!.close());

  it.each(relations)("sinks of %s give the dense logits on matrix units, K = %i", async (...relation) => {
    await expectDense(emulated!, relation, tolerances.f16, { target: "cuda", dtype: "f16" });
  });

  it("sinks of all copies give the dense logits in f32", async () => {
    await expectDense(emulated!, relations[1]!, tolerances.f32, { target: "cuda", dtype: "f32" });
  });
});
