/** Small models on a device, for the laws: their weights as a checkpoint, and texts that are read in pieces. */
import { memorySource } from "../../src/runtime/byte-source.js";
import { openSafetensors } from "../../src/runtime/checkpoint.js";
import type { ComputeDevice } from "../../src/runtime/compute-device.js";
import { bytesOf } from "../../src/runtime/dtype.js";
import { loadModel, type Model } from "../../src/runtime/model.js";
import { tensorName } from "../../src/runtime/packing.js";
import { writeSafetensors } from "../../src/runtime/safetensors.js";
import type { OpenOptions } from "../../src/runtime/session.js";
import type { CompiledSmall } from "./small-models.js";

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

/** Ids that look random and are not. */
export const textOf = (length: number, vocab: number) =>
  Array.from({ length }, (_, at) => (at * at * 3 + at * 5 + 1) % vocab);
