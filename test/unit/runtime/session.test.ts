import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { type GenerateOptions, generate } from "../../../src/runtime/generate.js";
import { loadModel, type Model } from "../../../src/runtime/model.js";
import { findAdapter } from "../../../src/runtime/node/adapter.js";
import { type Device, openDevice } from "../../../src/runtime/webgpu/device.js";
import { denseLogits, type ToyOptions, toyCheckpoint, toyPackage, vocab } from "./toy-model.js";

let device: Device;
beforeAll(async () => {
  device = await openDevice((await findAdapter("software")).adapter);
});
afterAll(() => device.close());

const windowed: ToyOptions = { layers: 3, copies: 3, window: 5 };
const windowless: ToyOptions = { layers: 2, copies: 3, window: 0 };

async function load(options: ToyOptions, on = device): Promise<Model> {
  return loadModel(on, { ...toyPackage(options), checkpoint: await toyCheckpoint() });
}

/** Ids that look random and are not. */
function prompt(length: number, seed = 1): number[] {
  return Array.from({ length }, (_, at) => (at * at * 7 + at * seed + seed * 5) % vocab);
}

const argmax = (logits: ArrayLike<number>) => Array.from(logits).indexOf(Math.max(...Array.from(logits)));

describe("the first token of a model", () => {
  it("waits for no pipeline before all that it needs are under way, those of prefill and of sampling", async () => {
    const own = await openDevice((await findAdapter("software")).adapter);
    const started: string[] = [];
    const create = own.gpu.createComputePipelineAsync.bind(own.gpu);
    let open = () => {};
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    own.gpu.createComputePipelineAsync = async (descriptor) => {
      started.push(descriptor.label!);
      await gate;
      return create(descriptor);
    };
    const model = await load(windowed, own);
    const session = await model.openSession({ context: 20 });
    const first = session.prefillAndSample([prompt(9)], { temperature: 0, topK: 0, topP: 1, seed: 1 });
    await vi.waitFor(() => expect(started).toContain("argmax"), { timeout: 20000 });
    await vi.waitFor(() => expect(started.length).toBeGreaterThan(1), { timeout: 20000 });
    // The pipeline of a kernel begins when it is known that its text has no errors, which takes a while.
    for (let turn = 0; turn < 3; turn++) await own.settled();
    const underWay = new Set(started);
    open();
    await (await first)();
    expect(new Set(started)).toEqual(underWay);
    expect(started.length).toBe(underWay.size);
    session.close();
    model.close();
    own.close();
  });
});

describe.each([
  ["a window over hidden tokens", windowed],
  ["hidden tokens that end with their step", windowless],
  ["two copies and a long window", { layers: 2, copies: 2, window: 9 }],
])("a model with %s", (_, options) => {
  it.each([1, 2, 6, 12, 24])(
    "gives the dense logits at every position when %i tokens are prefilled and the rest decoded",
    async (split) => {
      const ids = prompt(24);
      const dense = denseLogits(ids, options);
      const model = await load(options);
      const session = await model.openSession({ context: 24, validate: true, poison: true });
      expect([...(await session.prefill([ids.slice(0, split)]))[0]!]).toEqual(dense[split - 1]);
      for (let pos = split; pos < ids.length; pos++) {
        expect([...(await session.decode([ids[pos]!]))[0]!], `at ${pos}`).toEqual(dense[pos]);
      }
      session.close();
      model.close();
    },
  );

  it.each([1, 3, 5])("gives the same logits when it reads the prompt in slices of %i", async (slice) => {
    const ids = prompt(17, 3);
    const model = await load(options);
    const session = await model.openSession({ context: 20, slice, validate: true, poison: true });
    expect([...(await session.prefill([ids]))[0]!]).toEqual(denseLogits(ids, options)[16]);
    session.close();
    model.close();
  });

  it("runs sequences of different lengths side by side as it runs each of them alone", async () => {
    const prompts = [prompt(3, 2), prompt(14, 5), prompt(8, 7)];
    const model = await load(options);
    const session = await model.openSession({ batch: 3, context: 20, slice: 4, validate: true, poison: true });
    const got = await session.prefill(prompts);
    expect(got.map((logits) => [...logits])).toEqual(prompts.map((ids) => denseLogits(ids, options).at(-1)));
    const next = [1, 2, 3];
    const after = await session.decode(next);
    expect(after.map((logits) => [...logits])).toEqual(
      prompts.map((ids, sequence) => denseLogits([...ids, next[sequence]!], options).at(-1)),
    );
    session.close();
    model.close();
  });

  it("reads a second prompt after the first, and generates what repeated arg-max gives", async () => {
    const model = await load(options);
    const session = await model.openSession({ context: 30, slice: 4, poison: true });
    await session.prefill([prompt(6)]);
    const ids = [...prompt(6), ...prompt(7, 4)];
    const got: number[] = [];
    for await (const { id } of generate(session, [prompt(7, 4)], { maxTokens: 10 })) got.push(id);
    for (const id of got) {
      expect(id).toBe(argmax(denseLogits(ids, options).at(-1)!));
      ids.push(id);
    }
    expect(got.length).toBe(10);
    session.close();
    model.close();
  });
});

describe("poison", () => {
  it("shows a ring that gives keys up too early, and changes nothing else", async () => {
    const { manifest, readText } = toyPackage(windowed);
    const forgetful: typeof manifest = {
      ...manifest,
      stores: {
        ...manifest.stores,
        distinct: manifest.stores.distinct.map((ofLayer) =>
          ofLayer.map((store) => (store.layout === "ring" ? { ...store, keep: store.keep - 1 } : store)),
        ),
      },
    };
    const run = async (of: typeof manifest, poison: boolean) => {
      const model = await loadModel(device, { manifest: of, readText, checkpoint: await toyCheckpoint() });
      const session = await model.openSession({ context: 24, poison });
      const [logits] = await session.prefill([prompt(12)]);
      const [next] = await session.decode([1]);
      session.close();
      model.close();
      return [...logits!, ...next!];
    };
    expect(await run(manifest, true)).toEqual(await run(manifest, false));
    // The ring has room for the key that it no longer keeps, so without poison nobody would notice in the first step.
    expect(await run(forgetful, true)).not.toEqual(await run(manifest, false));
  });
});

describe("generation", () => {
  async function collect(prompts: readonly number[][], context: number, options: GenerateOptions): Promise<number[][]> {
    const model = await load(windowed);
    const session = await model.openSession({ batch: prompts.length, context });
    const texts = prompts.map((): number[] => []);
    try {
      for await (const { sequence, id } of generate(session, prompts, options)) texts[sequence]!.push(id);
      return texts;
    } finally {
      session.close();
      model.close();
    }
  }

  it("ends each sequence of a batch at its own end token, and does not give that out", async () => {
    const prompts = [prompt(4, 2), prompt(9, 3)];
    const free = await collect(prompts, 40, { maxTokens: 20 });
    const end = free[0]![5]!;
    const stopped = await collect(prompts, 40, { maxTokens: 20, endIds: [end] });
    for (const [sequence, text] of free.entries()) {
      const at = text.indexOf(end);
      expect(stopped[sequence]).toEqual(at < 0 ? text : text.slice(0, at));
    }
  });

  it("takes no step for a sequence without room, unless that has ended", async () => {
    const model = await load(windowed);
    const session = await model.openSession({ batch: 2, context: 6 });
    await session.prefillAndSample([prompt(3), prompt(6)], { temperature: 0, topK: 0, topP: 1, seed: 0 });
    await expect(session.decodeAndSample()).rejects.toMatchObject({ name: "ContextFull" });
    await (await session.decodeAndSample(new Set([1])))();
    expect(session.lengths).toEqual([4, 6]);
    session.close();
    model.close();
  });

  it("gives every token that fits and then says that the context is full", async () => {
    const model = await load(windowed);
    const session = await model.openSession({ context: 10 });
    const got: number[] = [];
    const run = async () => {
      for await (const { id } of generate(session, [prompt(6)])) got.push(id);
    };
    await expect(run()).rejects.toMatchObject({ name: "ContextFull", code: "context-full", details: { context: 10 } });
    expect(got).toEqual((await collect([prompt(6)], 30, { maxTokens: 5 }))[0]);
    session.close();
    model.close();
  });

  it("takes one submit with one compute pass per token, and reads four bytes back", async () => {
    const counted = await openDevice((await findAdapter("software")).adapter);
    const model = await load(windowed, counted);
    const session = await model.openSession({ context: 30 });
    const { gpu } = counted;
    const counts = { submits: 0, passes: 0, copied: 0 };
    const submit = gpu.queue.submit.bind(gpu.queue);
    const createEncoder = gpu.createCommandEncoder.bind(gpu);
    Object.defineProperty(gpu.queue, "submit", {
      value: (commands: GPUCommandBuffer[]) => {
        counts.submits++;
        submit(commands);
      },
    });
    gpu.createCommandEncoder = (descriptor) => {
      const encoder = createEncoder(descriptor);
      const begin = encoder.beginComputePass.bind(encoder);
      const copy = encoder.copyBufferToBuffer.bind(encoder);
      encoder.beginComputePass = (pass) => {
        counts.passes++;
        return begin(pass);
      };
      encoder.copyBufferToBuffer = (...args: unknown[]) => {
        counts.copied += args.at(-1) as number;
        return (copy as (...all: unknown[]) => undefined)(...args);
      };
      return encoder;
    };
    const got: number[] = [];
    for await (const { id } of generate(session, [prompt(6)], { maxTokens: 9 })) got.push(id);
    expect(got).toHaveLength(9);
    // The first token comes with the prefill.
    expect(counts).toEqual({ submits: 9, passes: 9, copied: 9 * 4 });
    session.close();
    model.close();
    counted.close();
  });

  it("needs no room for the last token, which is never read", async () => {
    expect((await collect([prompt(6)], 10, { maxTokens: 5 }))[0]).toHaveLength(5);
  });

  it("stops when its signal says so", async () => {
    const abort = new AbortController();
    const model = await load(windowed);
    const session = await model.openSession({ context: 30 });
    const got: number[] = [];
    const run = async () => {
      for await (const { id } of generate(session, [prompt(6)], { signal: abort.signal })) {
        got.push(id);
        if (got.length === 3) abort.abort();
      }
    };
    await expect(run()).rejects.toMatchObject({ name: "AbortError" });
    expect(got).toHaveLength(3);
    session.close();
    model.close();
  });

  it("can be left in the middle, and the session closed", async () => {
    const model = await load(windowed);
    const session = await model.openSession({ context: 30 });
    for await (const { id } of generate(session, [prompt(6)])) {
      expect(id).toBeLessThan(vocab);
      break;
    }
    session.close();
    model.close();
  });
});

describe("requests that make no sense are refused with the figures", () => {
  it("at the session", async () => {
    const model = await load(windowed);
    const session = await model.openSession({ context: 10 });
    await expect(session.prefill([])).rejects.toThrow("0 sequences are given and the session has 1");
    await expect(session.prefill([[]])).rejects.toThrow("sequence 0 is given no token");
    await expect(session.prefill([[1, vocab]])).rejects.toThrow(
      `token 1 of sequence 0 is ${vocab}, and ids run from 0 to ${vocab - 1}`,
    );
    await expect(session.prefill([prompt(11)])).rejects.toMatchObject({ details: { context: 10, needed: 11 } });
    await expect(session.decodeAndSample()).rejects.toThrow("no sampled token");
    await expect(model.openSession({ context: 10, batch: 9 })).rejects.toThrow(
      "batch is 9, which must be a whole number from 1 to 8",
    );
    await expect(model.openSession({ context: 0 })).rejects.toMatchObject({ name: "RequestError" });
    const generated = generate(session, [[1]], { temperature: -1 });
    await expect(generated.next()).rejects.toThrow("temperature is -1");
    session.close();
    await expect(session.prefill([[1]])).rejects.toThrow("closed");
    model.close();
  });

  it("when memory is short, before anything is loaded", async () => {
    const checkpoint = await toyCheckpoint();
    const reading = { ...checkpoint, read: () => Promise.reject(new Error("weights were read")) };
    await expect(
      loadModel(
        device,
        { ...toyPackage(windowed), checkpoint: reading },
        { session: { context: 1000, memory: 10_000 } },
      ),
    ).rejects.toMatchObject({ code: "out-of-memory", details: { allowed: 10_000 } });
    const model = await load(windowed);
    await expect(model.openSession({ context: 1 << 27 })).rejects.toMatchObject({
      code: "out-of-memory",
      details: { buffer: "keys of originals in layer 0", context: 1 << 27 },
    });
    model.close();
  });
});

describe("a package that does not fit", () => {
  it("its device says what is missing", async () => {
    const { manifest, readText } = toyPackage(windowed);
    const requires = { features: ["warp-drive"], limits: { maxComputeWorkgroupStorageSize: 1 << 30 } };
    await expect(
      loadModel(device, { manifest: { ...manifest, requires }, readText, checkpoint: await toyCheckpoint() }),
    ).rejects.toMatchObject({
      name: "MissingFeature",
      details: { features: ["warp-drive"], limits: ["maxComputeWorkgroupStorageSize"] },
    });
  });

  it("its checkpoint names the tensor, the shapes and the nearest name", async () => {
    const { manifest, readText } = toyPackage(windowed);
    const withSource = (tensor: string, shape: readonly number[]): typeof manifest => ({
      ...manifest,
      weights: manifest.weights.map((info) =>
        info.name === "wte" ? { ...info, sources: [{ tensor, shape, row: 0 }] } : info,
      ),
    });
    const checkpoint = await toyCheckpoint();
    const loading = (changed: typeof manifest) => loadModel(device, { manifest: changed, readText, checkpoint });
    await expect(loading(withSource("wte.weigth", [vocab, 4]))).rejects.toMatchObject({
      code: "tensor-absent",
      hint: "Is it wte.weight?",
    });
    await expect(loading(withSource("wte.weight", [4, vocab]))).rejects.toThrow(
      `tensor wte.weight has shape [${vocab}, 4] where the model has [4, ${vocab}]`,
    );
  });

  it("a kernel that does not compile is named with its place", async () => {
    const { manifest } = toyPackage(windowed);
    const readText = async () => "fn main( {";
    const source = { manifest, readText, checkpoint: await toyCheckpoint() };
    await expect(loadModel(device, source, { session: { context: 10 } })).rejects.toMatchObject({
      name: "DeviceError",
      message: expect.stringMatching(/refused the kernel \w+ \(\w+\.wgsl\): 1:\d+/),
    });
  });
});

describe("a device that is lost", () => {
  it("ends a generation with a typed error, and a new device goes on", async () => {
    const { adapter } = await findAdapter("software");
    const doomed = await openDevice(adapter);
    const model = await load(windowed, doomed);
    const session = await model.openSession({ context: 30 });
    const got: number[] = [];
    const run = async () => {
      for await (const { id } of generate(session, [prompt(6)])) {
        got.push(id);
        if (got.length === 2) doomed.close();
      }
    };
    await expect(run()).rejects.toMatchObject({ name: "DeviceLost", code: "device-lost" });
    await expect(session.prefill([[1]])).rejects.toMatchObject({ code: "device-lost" });
    session.close();

    const fresh = await openDevice((await findAdapter("software")).adapter);
    const again = await load(windowed, fresh);
    const next = await again.openSession({ context: 30 });
    expect([...(await next.prefill([prompt(6)]))[0]!]).toEqual(denseLogits(prompt(6), windowed).at(-1));
    fresh.close();
  });
});
