/** The consistency laws on a WebGPU device: a handful of random models, ragged batches, poison, and what a step costs. */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { memorySource } from "../../src/runtime/byte-source.js";
import { openSafetensors } from "../../src/runtime/checkpoint.js";
import { type Device, openDevice } from "../../src/runtime/webgpu/device.js";
import { bytesOf } from "../../src/runtime/dtype.js";
import { loadModel, type Model } from "../../src/runtime/model.js";
import { findAdapter } from "../../src/runtime/node/adapter.js";
import { tensorName } from "../../src/runtime/packing.js";
import { writeSafetensors } from "../../src/runtime/safetensors.js";
import type { OpenOptions } from "../../src/runtime/session.js";
import {
  bases,
  blockOf,
  type CompiledSmall,
  compileSmall,
  differenceAt,
  relations,
  usualBase,
} from "./small-models.js";

// Seconds of work each; machines that run the tests are often busy.
vi.setConfig({ testTimeout: 400_000 });

/** float32 sums of a few dozen terms, through at most four layers. */
const tolerance = 1e-4;

let device: Device;
beforeAll(async () => {
  const { adapter, description } = await findAdapter("software");
  device = await openDevice(adapter);
  console.info(`on ${description.name}`);
});
afterAll(() => device.close());

async function load(model: CompiledSmall, on = device): Promise<Model> {
  const { manifest, texts, weights } = model;
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
  return loadModel(on, { manifest, readText, checkpoint });
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
async function run(
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

const textOf = (length: number, vocab: number) => Array.from({ length }, (_, at) => (at * at * 3 + at * 5 + 1) % vocab);

describe("on a WebGPU device", () => {
  it("random models give the dense logits for sequences that stand at different places of their chunks", async () => {
    const models = fc.sample(fc.tuple(bases, relations), { numRuns: 6, seed: 20250424 });
    for (const [base, phd] of models) {
      const small = compileSmall(base, phd);
      const texts = [6, 9, 14].map((length) => textOf(length, base.vocab_size));
      const cuts = [
        [1, 2],
        [4, 5],
        [3, 10],
      ] as const;
      const model = await load(small);
      const steps = await run(model, texts, cuts, { slice: 4 });
      for (const [index, ids] of texts.entries()) {
        const dense = small.dense(ids);
        for (const [step, logits] of steps.entries()) {
          const about = `${JSON.stringify({ base, phd })}, sequence ${index}, step ${step}`;
          expect(differenceAt(dense, cuts[index]![1] - 1 + step, logits[index]!), about).toBeLessThan(tolerance);
        }
      }
      model.close();
    }
  });

  it.each([
    ["a ring in a chunk", blockOf("phd-cswa", { repeat: 3, window: 4, chunk: 4 })],
    ["a window wider than a position", blockOf("phd-swa", { repeat: 4, window: 2 })],
  ])("poison leaves the logits of %s as they are, to the bit", async (_, phd) => {
    const model = await load(compileSmall({ ...usualBase, num_hidden_layers: 3 }, phd));
    const texts = [11, 16].map((length) => textOf(length, usualBase.vocab_size));
    const cuts = [
      [2, 5],
      [4, 9],
    ] as const;
    const plain = await run(model, texts, cuts, { slice: 3 });
    expect(await run(model, texts, cuts, { slice: 3, poison: true })).toEqual(plain);
    model.close();
  });

  it("a step of a compiled model is one submit with one pass, and reads four bytes per sequence", async () => {
    const counted = await openDevice((await findAdapter("software")).adapter);
    const model = await load(compileSmall(usualBase, blockOf("phd-cswa", { repeat: 3, window: 4, chunk: 4 })), counted);
    const session = await model.openSession({ batch: 3, context: 30 });
    const greedy = { temperature: 0, topK: 0, topP: 1, seed: 0 };
    const prompts = [[1], [2, 3, 4], [5, 6, 7, 8, 9]];
    await (await session.prefillAndSample(prompts, greedy))();
    // The first step compiles its kernels and writes its parameters.
    await (await session.decodeAndSample())();
    const counts = countWork(counted.gpu);
    for (let step = 0; step < 5; step++) expect(await (await session.decodeAndSample())()).toHaveLength(3);
    expect(counts).toEqual({ submits: 5, passes: 5, copied: 5 * 3 * 4, written: 0 });
    session.close();
    model.close();
    counted.close();
  });
});

/** Counts, from now on, what is asked of a device. */
function countWork(gpu: GPUDevice) {
  const counts = { submits: 0, passes: 0, copied: 0, written: 0 };
  const { queue } = gpu;
  const submit = queue.submit.bind(queue);
  const write = queue.writeBuffer.bind(queue) as (...all: unknown[]) => undefined;
  const createEncoder = gpu.createCommandEncoder.bind(gpu);
  Object.defineProperty(queue, "submit", {
    value: (commands: GPUCommandBuffer[]) => {
      counts.submits++;
      submit(commands);
    },
  });
  Object.defineProperty(queue, "writeBuffer", {
    value: (...all: unknown[]) => {
      counts.written++;
      write(...all);
    },
  });
  gpu.createCommandEncoder = (descriptor) => {
    const encoder = createEncoder(descriptor);
    const begin = encoder.beginComputePass.bind(encoder);
    const copy = encoder.copyBufferToBuffer.bind(encoder) as (...all: unknown[]) => undefined;
    encoder.beginComputePass = (pass) => {
      counts.passes++;
      return begin(pass);
    };
    encoder.copyBufferToBuffer = (...all: unknown[]) => {
      counts.copied += all.at(-1) as number;
      return copy(...all);
    };
    return encoder;
  };
  return counts;
}
