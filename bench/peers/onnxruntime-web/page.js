// Runs in the browser: the same model by onnxruntime-web and by phdc, on the same adapter, in turn.

import * as ort from "/ort/ort.webgpu.bundle.min.mjs";
import { greedy } from "/phdc/bench/decode-steps.js";
import { randomCheckpoint } from "/phdc/bench/random-weights.js";
import { loadModel } from "/phdc/runtime/model.js";
import { describeAdapter } from "/phdc/runtime/webgpu/adapter-info.js";
import { openDevice } from "/phdc/runtime/webgpu/device.js";
import { measureCosts, namePipelines, observe, timeKernels } from "./observe.js";

/** What kernels may be compiled for. */
export async function describe() {
  return describeAdapter(await navigator.gpu.requestAdapter());
}

/** Features that the peer's device is opened with. On some adapters its kernels are right only without subgroups. */
const peers = {
  "onnxruntime-web": ["shader-f16", "subgroups"],
  "onnxruntime-web without subgroups": ["shader-f16"],
};

/**
 * Milliseconds of prompts and of steps, by all engines. They take turns, so that what else the machine does meets them alike.
 * Every step gives the host its logits, which is what onnxruntime-web can do. `difference` is that of an engine's logits from phdc's.
 */
export async function compare({ manifest, texts, config, prompt, context, repeat, steps, warmUp }) {
  namePipelines();
  const own = await openOwn(manifest, texts, context, prompt.length);
  const engines = { phdc: own };
  for (const [name, features] of Object.entries(peers)) engines[name] = await openPeer(config, context, features);
  const found = Object.fromEntries(
    Object.keys(engines).map((name) => [name, { prefill: [], decode: [], difference: 0 }]),
  );
  let magnitude = 0;
  for (let round = 0; round < repeat + warmUp; round++) {
    let expected;
    for (const [name, engine] of Object.entries(engines)) {
      await engine.restart();
      let start = performance.now();
      const logits = [await engine.prefill(prompt)];
      const prefill = performance.now() - start;
      start = performance.now();
      // The same ids for all, whatever they predict.
      for (let step = 0; step < steps; step++) logits.push(await engine.decode(prompt[step % prompt.length]));
      const decode = (performance.now() - start) / steps;
      if (round >= warmUp) {
        found[name].prefill.push(prefill);
        found[name].decode.push(decode);
      }
      expected ??= logits;
      for (const [step, row] of logits.entries()) {
        for (const [id, value] of row.entries()) {
          magnitude = Math.max(magnitude, Math.abs(expected[step][id]));
          found[name].difference = Math.max(found[name].difference, Math.abs(value - expected[step][id]));
        }
      }
    }
  }
  // What a program that generates text waits for: the token goes from step to step on the device.
  const sampled = await own.sampledSteps(prompt, repeat, steps);
  const work = {};
  for (const [name, engine] of Object.entries(engines)) work[name] = await workOf(engine, prompt, steps);
  const costs = await measureCosts(await openPeerDevice([]), repeat);
  return { found, sampled, magnitude, work, costs };
}

/** What an engine asks of the device for the prompt, and for the step in the middle of those that are timed. */
async function workOf(engine, prompt, steps) {
  const measured = async (run) => {
    const { dispatches, device, ...counted } = await observe(run);
    return { ...counted, dispatches: dispatches.length, kernels: await timeKernels({ device, dispatches }, 3) };
  };
  await engine.restart();
  const prefill = await measured(() => engine.prefill(prompt));
  for (let step = 0; step < steps >> 1; step++) await engine.decode(prompt[step % prompt.length]);
  return { prefill, decode: await measured(() => engine.decode(prompt[0])) };
}

async function openPeer(config, context, features) {
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = "/ort/";
  const {
    num_hidden_layers: layers,
    num_key_value_heads: kvHeads,
    hidden_size: dim,
    num_attention_heads: heads,
  } = config;
  const names = Array.from({ length: layers }, (_, layer) => [`${layer}.key`, `${layer}.value`]).flat();
  const device = await openPeerDevice(features);
  const session = await ort.InferenceSession.create("/model.onnx", {
    executionProviders: [{ name: "webgpu", device }],
    preferredOutputLocation: { logits: "cpu" },
  });
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

async function openPeerDevice(features) {
  const adapter = await navigator.gpu.requestAdapter();
  const limits = ["maxBufferSize", "maxStorageBufferBindingSize", "maxStorageBuffersPerShaderStage"].concat(
    ["maxComputeWorkgroupStorageSize", "maxComputeInvocationsPerWorkgroup", "maxComputeWorkgroupsPerDimension"],
    ["maxComputeWorkgroupSizeX", "maxComputeWorkgroupSizeY", "maxComputeWorkgroupSizeZ"],
  );
  return adapter.requestDevice({
    requiredFeatures: features.filter((feature) => adapter.features.has(feature)),
    requiredLimits: Object.fromEntries(limits.map((name) => [name, adapter.limits[name]])),
  });
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
