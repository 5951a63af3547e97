/** Small models on a device, for the laws: their weights as a checkpoint, and texts that are read in pieces. */
import { expect } from "vitest";
import { memorySource } from "../../src/runtime/byte-source.js";
import { openSafetensors } from "../../src/runtime/checkpoint.js";
import type { ComputeDevice } from "../../src/runtime/compute-device.js";
import { bytesOf } from "../../src/runtime/dtype.js";
import { loadModel, type Model } from "../../src/runtime/model.js";
import { tensorName } from "../../src/runtime/packing.js";
import { writeSafetensors } from "../../src/runtime/safetensors.js";
import type { OpenOptions } from "../../src/runtime/session.js";
import { type CompiledSmall, differenceAt } from "./small-models.js";

/** Brings a small model to a device. */
export async function loadOn(device: ComputeDevice, small: CompiledSmall): Promise<Model> {
  const { manifest, texts, weights } = small;
  const names = new Set<string>();
  for (const { sources, perLayer, layers } of manifest.weights) {
    const own = perLayer ? (layers ?? Array.from({ length: manifest.model.layers }, (_, layer) => layer)) : [undefined];
    for (const { tensor } of sources) for (const layer of own) names.add(tensorName(tensor, layer));
  }
  const tensors = [...names].flatMap((name) => {
    const tensor = optional(() => weights(name));
    if (tensor === undefined) return [];
    return [{ name, dtype: "F32" as const, shape: tensor.shape, bytes: bytesOf(Float32Array.from(tensor.data)) }];
  });
  const checkpoint = await openSafetensors(memorySource(writeSafetensors(tensors, {})));
  const readText = async (file: string) => texts.get(file)!;
  return loadModel(device, { manifest, readText, checkpoint });
}

/** Biases that a concatenation takes as zeros are in no checkpoint. */
function optional<T>(get: () => T): T | undefined {
  try {
    return get();
  } catch {
    return undefined;
  }
}

/** Logits after the prompts, in two pieces each, and after every continued token. */
export async function run(
  model: Model,
  texts: readonly number[][],
  cuts: readonly (readonly [number, number])[],
  options: Partial<OpenOptions>,
) {
  const context = Math.max(...texts.map(({ length }) => length));
  const session = await model.openSession({ batch: texts.length, context, ...options });
  try {
    await session.prefill(texts.map((ids, index) => ids.slice(0, cuts[index]![0])));
    const steps = [await session.prefill(texts.map((ids, index) => ids.slice(cuts[index]![0], cuts[index]![1])))];
    const rest = Math.min(...texts.map(({ length }, index) => length - cuts[index]![1]));
    for (let step = 0; step < rest; step++) {
      steps.push(await session.decode(texts.map((ids, index) => ids[cuts[index]![1] + step]!)));
    }
    return steps;
  } finally {
    session.close();
  }
}

/** Holds sequences that stand at different places of their chunks, in slices, against the dense logits. */
export async function expectDense(model: Model, small: CompiledSmall, tolerance: number, about: string): Promise<void> {
  const texts = [6, 9, 14].map((length) => textOf(length, small.manifest.model.vocab));
  const cuts = [
    [1, 2],
    [4, 5],
    [3, 10],
  ] as const;
  const steps = await run(model, texts, cuts, { slice: 4 });
  for (const [index, ids] of texts.entries()) {
    const dense = small.dense(ids);
    for (const [step, logits] of steps.entries()) {
      const difference = differenceAt(dense, cuts[index]![1] - 1 + step, logits[index]!);
      expect(difference, `${about}, sequence ${index}, step ${step}`).toBeLessThan(tolerance);
    }
  }
}

/** Holds what sequences give while everything that may not be read is poison against what they give without, to the bit. */
export async function expectNoPoison(model: Model, options: Partial<OpenOptions> = {}): Promise<void> {
  const texts = [11, 16].map((length) => textOf(length, model.manifest.model.vocab));
  const cuts = [
    [2, 5],
    [4, 9],
  ] as const;
  const plain = await run(model, texts, cuts, { slice: 3 });
  expect(await run(model, texts, cuts, { slice: 3, poison: true, ...options })).toEqual(plain);
}

/** Ids that look random and are not. */
export const textOf = (length: number, vocab: number) =>
  Array.from({ length }, (_, at) => (at * at * 3 + at * 5 + 1) % vocab);
