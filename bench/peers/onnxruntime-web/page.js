// Runs in the browser: the same model by onnxruntime-web and by phdc, on the same adapter, in turn.
import { greedy } from "/phdc/bench/decode-steps.js";
import { randomCheckpoint } from "/phdc/bench/random-weights.js";
import { describeAdapter } from "/phdc/runtime/webgpu/adapter-info.js";
import { openDevice } from "/phdc/runtime/webgpu/device.js";
import { loadModel } from "/phdc/runtime/model.js";
import * as ort from "/ort/ort.webgpu.bundle.min.mjs";

/** What kernels may be compiled for. */
export async function describe() {
  return describeAdapter(await navigator.gpu.requestAdapter());
}

/**
 * Milliseconds of prompts and of steps, by both. They take turns, so that what else the machine does meets both alike.
 * Every step gives the host its logits, which is what onnxruntime-web can do.
 */
export async function compare({ manifest, texts, config, prompt, context, repeat, steps, warmUp }) {
  const peer = await openPeer(config, context);
  const own = await openOwn(manifest, texts, context, prompt.length);
  const engines = { "onnxruntime-web": peer, phdc: own };
  const times = Object.fromEntries(Object.keys(engines).map((name) => [name, { prefill: [], decode: [] }]));
  let difference = 0;
  let magnitude = 0;
  for (let round = 0; round < repeat + warmUp; round++) {
    const logits = {};
    for (const [name, engine] of Object.entries(engines)) {
      await engine.restart();
      let start = performance.now();
      const all = [await engine.prefill(prompt)];
      const prefill = performance.now() - start;
      start = performance.now();
      // The same ids for both, whatever they predict.
      for (let step = 0; step < steps; step++) all.push(await engine.decode(prompt[step % prompt.length]));
      const decode = (performance.now() - start) / steps;
      if (round >= warmUp) {
        times[name].prefill.push(prefill);
        times[name].decode.push(decode);
      }
      logits[name] = all;
    }
    for (const [step, expected] of logits["onnxruntime-web"].entries()) {
      for (const [id, value] of expected.entries()) {
        difference = Math.max(difference, Math.abs(value - logits.phdc[step][id]));
        magnitude = Math.max(magnitude, Math.abs(value));
      }
    }
  }
  // What a program that generates text waits for: the token goes from step to step on the device.
  const sampled = await own.sampledSteps(prompt, repeat, steps);
  return { times, sampled, difference, magnitude, threads: ort.env.wasm.numThreads };
}

async function openPeer(config, context) {
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = "/ort/";
  const { num_hidden_layers: layers, num_key_value_heads: kvHeads, hidden_size: dim, num_attention_heads: heads } = config;
  const names = Array.from({ length: layers }, (_, layer) => [`${layer}.key`, `${layer}.value`]).flat();
  const session = await ort.InferenceSession.create("/model.onnx", {
    executionProviders: ["webgpu"],
    preferredOutputLocation: { logits: "cpu" },
  });
  const device = await ort.env.webgpu.device;
  const dims = [1, kvHeads, context, dim / heads];
  const bytes = dims.reduce((product, size) => product * size, 4);
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
  // Past and present share a buffer, so a step appends to the cache and copies nothing.
  const caches = names.map((name) => {
    const buffer = device.createBuffer({ size: bytes, usage });
    return { name, tensor: ort.Tensor.fromGpuBuffer(buffer, { dataType: "float32", dims }) };
  });
  const fetches = Object.fromEntries(caches.map(({ name, tensor }) => [`present.${name}`, tensor]));
  const past = Object.fromEntries(caches.map(({ name, tensor }) => [`past.${name}`, tensor]));
  let length = 0;
  const run = async (ids) => {
    length += ids.length;
    const feeds = {
      ...past,
      input_ids: new ort.Tensor("int64", BigInt64Array.from(ids, BigInt), [1, ids.length]),
      seqlens_k: new ort.Tensor("int32", Int32Array.of(length - 1), [1]),
      total_sequence_length: new ort.Tensor("int32", Int32Array.of(length), [1]),
    };
    const { logits } = await session.run(feeds, { ...fetches, logits: null });
    return logits.data.slice();
  };
  return {
    restart: async () => {
      length = 0;
    },
    prefill: run,
    decode: (id) => run([id]),
  };
}

async function openOwn(manifest, texts, context, slice) {
  const device = await openDevice(await navigator.gpu.requestAdapter());
  const source = { manifest, checkpoint: randomCheckpoint(manifest, "F32"), readText: async (file) => texts[file] };
  const model = await loadModel(device, source, { session: { context, slice } });
  let session = await model.openSession({ context, slice });
  const restart = async () => {
    session.close();
    session = await model.openSession({ context, slice });
    await device.settled();
  };
  return {
    restart,
    prefill: async (ids) => (await session.prefill([ids]))[0],
    decode: async (id) => (await session.decode([id]))[0],
    sampledSteps: async (prompt, repeat, steps) => {
      const times = [];
      for (let round = 0; round <= repeat; round++) {
        await restart();
        await (await session.prefillAndSample([prompt], greedy))();
        const start = performance.now();
        let waiting;
        for (let step = 0; step < steps; step++) {
          const next = await session.decodeAndSample();
          await waiting?.();
          waiting = next;
        }
        await waiting();
        if (round > 0) times.push((performance.now() - start) / steps);
      }
      return times;
    },
  };
}
