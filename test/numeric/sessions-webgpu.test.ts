/**
 * Sessions of compiled models on the software adapter: what poison, slices and batches must not change, against the dense logits.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compileSource } from "../../src/compile.js";
import { importModel } from "../../src/import/import-model.js";
import { portableCapabilities } from "../../src/ir/kernel/capabilities.js";
import type { Tuning } from "../../src/kernels/tuning.js";
import { toF32, toIntegers } from "../../src/runtime/dtype.js";
import { generate } from "../../src/runtime/generate.js";
import { loadModel, type Model } from "../../src/runtime/model.js";
import { findAdapter } from "../../src/runtime/node/adapter.js";
import { openCheckpoint } from "../../src/runtime/node/open-checkpoint.js";
import type { OpenOptions } from "../../src/runtime/session.js";
import { type Device, openDevice } from "../../src/runtime/webgpu/device.js";
import { goldenFolder } from "../support/golden.js";

const examples = join(import.meta.dirname, "../../examples/models");

/** Sums of float32 in another order; logits are of the order of 10. */
const tolerance = 1e-3;

let device: Device;
beforeAll(async () => {
  const { adapter, description } = await findAdapter("software");
  device = await openDevice(adapter);
  console.info(`on ${description.name}`);
});
afterAll(() => device.close());

async function load(
  folder: string,
  name: string,
  on = device,
  capabilities = portableCapabilities,
  tuning: Partial<Tuning> = {},
): Promise<Model> {
  const config = { name: "config.json", text: readFileSync(join(folder, "config.json"), "utf8") };
  const { text } = importModel(config, name);
  const options = { target: "webgpu", dtype: "f32", capabilities, tuning } as const;
  const { manifest, kernels } = compileSource({ name: `${name}.phd`, text: text! }, options).program!;
  const readText = async (file: string) => kernels.find(({ info }) => info.file === file)!.text;
  const checkpoint = await openCheckpoint(folder);
  try {
    return await loadModel(on, { manifest, readText, checkpoint });
  } finally {
    await checkpoint.close();
  }
}

async function loadGolden(folder: string): Promise<{ readonly ids: number[]; readonly logits: Float32Array }> {
  const golden = await openCheckpoint(join(folder, "golden.safetensors"));
  try {
    const ids = toIntegers(await golden.read(golden.tensors.get("input_ids")!), "I32");
    return { ids, logits: toF32(await golden.read(golden.tensors.get("logits")!), "F32") };
  } finally {
    await golden.close();
  }
}

/** Logits of positions split - 1 … ids.length - 1 of every sequence. */
async function run(
  model: Model,
  ids: readonly number[][],
  splits: readonly number[],
  steps: number,
  options: Omit<OpenOptions, "context">,
) {
  const context = Math.max(...splits) + steps;
  const session = await model.openSession({ batch: ids.length, context, validate: true, ...options });
  try {
    const all = [await session.prefill(ids.map((sequence, index) => sequence.slice(0, splits[index])))];
    for (let step = 0; step < steps; step++) {
      all.push(await session.decode(ids.map((sequence, index) => sequence[splits[index]! + step]!)));
    }
    return ids.map((_, sequence) => all.map((logits) => logits[sequence]!));
  } finally {
    session.close();
  }
}

function expectNear(got: readonly Float32Array[], expected: (step: number) => Float32Array): void {
  for (const [step, logits] of got.entries()) {
    const reference = expected(step);
    const difference = reference.reduce((most, value, id) => Math.max(most, Math.abs(value - logits[id]!)), 0);
    expect(difference, `step ${step}`).toBeLessThanOrEqual(tolerance);
  }
}

const cases = [
  ["vanilla-llama", "originals are kept for ever"],
  ["naive-3-interleaved", "every copy is kept for ever"],
  ["phd-2", "hidden tokens end with their step"],
  ["phd-swa-3-4", "hidden tokens live in a ring"],
  ["phd-swa-3-4-positions", "the window counts positions"],
  ["phd-cswa-3-4-4", "the ring ends with its chunk"],
  ["phd-cswa-4-6-9-qwen3", "chunk and window do not divide each other"],
].filter(([name]) => existsSync(join(goldenFolder, name!)));

describe.skipIf(cases.length === 0).each(cases)("%s, where %s", (name) => {
  const folder = join(goldenFolder, name!);

  it("gives the dense logits, to the same bits when all memory that nobody may read is poisoned", async () => {
    const model = await load(folder, name!);
    const { ids, logits } = await loadGolden(folder);
    const { vocab } = model.manifest.model;
    const split = ids.length >> 1;
    const steps = Math.min(12, ids.length - split);
    const [plain] = await run(model, [ids], [split], steps, {});
    const [poisoned] = await run(model, [ids], [split], steps, { poison: true });
    expect(poisoned).toEqual(plain);
    expectNear(plain!, (step) => logits.subarray((split - 1 + step) * vocab, (split + step) * vocab));
    model.close();
  });

  it("gives the dense logits when it reads the prompt in slices of 7", async () => {
    const model = await load(folder, name!);
    const { ids, logits } = await loadGolden(folder);
    const { vocab } = model.manifest.model;
    const [sliced] = await run(model, [ids], [ids.length], 0, { slice: 7, poison: true });
    expectNear(sliced!, () => logits.subarray((ids.length - 1) * vocab, ids.length * vocab));
    model.close();
  });
});

const shared = ["phd-5", "phd-cswa-3-16-32-olmo2"].filter((name) => existsSync(join(goldenFolder, name)));

describe.skipIf(shared.length === 0).each(shared)("%s, whose products share inputs among groups", (name) => {
  it.each([2, 3])("gives %i sequences the dense logits, poisoned or not", async (batch) => {
    // As small as these models are, no group would have company.
    const model = await load(join(goldenFolder, name), name, device, portableCapabilities, { leastWorkgroups: 1 });
    expect(model.manifest.kernels.some(({ doc }) => doc.includes("share the inputs"))).toBe(true);
    const { ids, logits } = await loadGolden(join(goldenFolder, name));
    const { vocab } = model.manifest.model;
    const splits = Array.from({ length: batch }, (_, sequence) => 9 + 4 * sequence);
    const sequences = splits.map(() => ids);
    const plain = await run(model, sequences, splits, 4, {});
    expect(await run(model, sequences, splits, 4, { poison: true })).toEqual(plain);
    for (const [sequence, split] of splits.entries()) {
      expectNear(plain[sequence]!, (step) => logits.subarray((split - 1 + step) * vocab, (split + step) * vocab));
    }
    model.close();
  });
});

describe("the Shakespeare model with K = 3 and chunks of 32", () => {
  const name = "shakespeare-phd-cswa-3-16-32";
  const folder = join(examples, name);

  it("agrees with the dense logits for sequences that stand before, at and after the edges of their chunks, side by side", async () => {
    const model = await load(folder, name);
    const { ids, logits } = await loadGolden(folder);
    const { vocab } = model.manifest.model;
    const splits = [31, 32, 33, 5, 64];
    const batch = await run(
      model,
      splits.map(() => ids),
      splits,
      3,
      { poison: true },
    );
    for (const [sequence, split] of splits.entries()) {
      expectNear(batch[sequence]!, (step) => logits.subarray((split - 1 + step) * vocab, (split + step) * vocab));
    }
    model.close();
  });

  it.each([1, 3, 64])("gives the dense logits when decode attention splits the keys in %i", async (splits) => {
    const model = await load(folder, name);
    const { ids, logits } = await loadGolden(folder);
    const { vocab } = model.manifest.model;
    const [got] = await run(model, [ids], [40], 2, { splits, poison: true });
    expectNear(got!, (step) => logits.subarray((39 + step) * vocab, (40 + step) * vocab));
    model.close();
  });

  it("continues several prompts at once as it continues each alone", async () => {
    const model = await load(folder, name);
    const { ids } = await loadGolden(folder);
    const prompts = [ids.slice(0, 7), ids.slice(0, 30), ids.slice(0, 12)];
    const session = await model.openSession({ batch: 3, context: 60 });
    const texts = prompts.map((): number[] => []);
    for await (const { sequence, id } of generate(session, prompts, { maxTokens: 20 })) texts[sequence]!.push(id);
    // The golden ids are the greedy continuation of their first seven.
    expect(texts).toEqual(prompts.map(({ length }) => ids.slice(length, length + 20)));
    session.close();
    model.close();
  });

  it("draws the same text for the same seed, and another one for another", async () => {
    const model = await load(folder, name);
    const { ids } = await loadGolden(folder);
    const draw = async (seed: number) => {
      const session = await model.openSession({ context: 60 });
      const text: number[] = [];
      const options = { maxTokens: 24, temperature: 1, topK: 40, topP: 0.95, seed };
      for await (const { id } of generate(session, [ids.slice(0, 7)], options)) text.push(id);
      session.close();
      return text;
    };
    const first = await draw(1);
    expect(await draw(1)).toEqual(first);
    expect(await draw(2)).not.toEqual(first);
    model.close();
  });
});

const stories = join(goldenFolder, "../models/stories260k");

describe.skipIf(!existsSync(stories))("a vocabulary table over the limit of a binding", () => {
  it("is split over buffers, and the story stays the same", async () => {
    // The table of 512 words has 131,072 bytes; every other matrix is smaller than this.
    const limit = 100_000;
    const { adapter } = await findAdapter("software");
    const small = await openDevice(adapter, { maxStorageBufferBindingSize: limit });
    const limits = { ...portableCapabilities.limits, maxBindingSize: limit };
    const model = await load(stories, "stories260k", small, { ...portableCapabilities, limits });
    expect(model.weights.filter(({ parts }) => parts.length === 2)).not.toEqual([]);

    const golden = await openCheckpoint(join(stories, "golden.safetensors"));
    const ids = toIntegers(await golden.read(golden.tensors.get("empty.input_ids")!), "I32");
    await golden.close();
    const session = await model.openSession({ context: 64, validate: true });
    const text: number[] = [];
    for await (const { id } of generate(session, [ids.slice(0, 1)], { maxTokens: 40 })) text.push(id);
    expect(text).toEqual(ids.slice(1, 41));
    session.close();
    model.close();
    small.close();
  });
});
