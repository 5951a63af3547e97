/** The consistency laws on a WebGPU device: a handful of random models, ragged batches, poison, and what a step costs. */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { findAdapter } from "../../src/runtime/node/adapter.js";
import { type Device, openDevice } from "../../src/runtime/webgpu/device.js";
import { expectDense, expectNoPoison, loadOn, textOf } from "./on-device.js";
import {
  bases,
  blockOf,
  type CompiledSmall,
  compileSmall,
  differenceAt,
  lawModels,
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

const load = (small: CompiledSmall, on = device) => loadOn(on, small);

describe("on a WebGPU device", () => {
  it("random models give the dense logits for sequences that stand at different places of their chunks", async () => {
    const models = fc.sample(fc.tuple(bases, relations), { numRuns: 6, seed: 20250424 });
    for (const [base, phd] of models) {
      const small = compileSmall(base, phd);
      const model = await load(small);
      await expectDense(model, small, tolerance, JSON.stringify({ base, phd }));
      model.close();
    }
  });

  it.each([
    ["a ring in a chunk", blockOf("phd-cswa", { repeat: 3, window: 4, chunk: 4 })],
    ["a window wider than a position", blockOf("phd-swa", { repeat: 4, window: 2 })],
  ])("poison leaves the logits of %s as they are, to the bit", async (_, phd) => {
    const model = await load(compileSmall({ ...usualBase, num_hidden_layers: 3 }, phd));
    await expectNoPoison(model);
    model.close();
  });

  it("sequences cut back to any position go on as fresh ones do", async () => {
    // A window, a ring in a chunk, and first positions that are kept beside a window.
    const some = [3, 6, 9].map((index) => lawModels[index]!);
    for (const [name, phd] of some) {
      const small = compileSmall(usualBase, phd);
      const model = await load(small);
      const session = await model.openSession({ batch: 2, context: 30, slice: 3 });
      let texts = [7, 11].map((length) => textOf(length, usualBase.vocab_size));
      await session.prefill(texts);
      for (const lengths of [
        [7, 5],
        [2, 0],
        [3, 4],
      ]) {
        await session.cut(lengths);
        const more = [textOf(4, 7), textOf(6, 5)];
        texts = lengths.map((length, sequence) => [...texts[sequence]!.slice(0, length), ...more[sequence]!, 3]);
        const steps = [await session.prefill(more), await session.decode([3, 3])];
        for (const [sequence, ids] of texts.entries()) {
          const dense = small.dense(ids);
          for (const [step, logits] of steps.entries()) {
            const about = `${name}, sequence ${sequence} cut to ${lengths[sequence]}, step ${step}`;
            expect(differenceAt(dense, ids.length - 2 + step, logits[sequence]!), about).toBeLessThan(tolerance);
          }
        }
      }
      session.close();
      model.close();
    }
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
