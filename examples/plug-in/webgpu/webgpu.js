/**
 * Runs a compiled package on any WebGPU device, from its manifest and its kernel files alone.
 *
 * `read(file)` gives the text of a file of the package; `weights(info, layer)` gives the elements of a packed weight as a typed array.
 */
import { evaluate, Plan, weightName } from "./package.js";

const usage = { storage: 0x80 | 0x8 | 0x4, uniform: 0x40 | 0x8, readBack: 0x1 | 0x8 };

export async function loadPackage(device, read, weights, sizes) {
  const manifest = JSON.parse(await read("manifest.json"));
  const plan = new Plan(manifest, sizes);
  const buffers = new Map();
  const upload = (label, data, flags = usage.storage) => {
    const buffer = device.createBuffer({ label, size: Math.ceil(data.byteLength / 16) * 16, usage: flags });
    const words = new Uint8Array(buffer.size);
    words.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    device.queue.writeBuffer(buffer, 0, words);
    return buffer;
  };
  for (const [label, size] of plan.buffers)
    buffers.set(label, device.createBuffer({ label, size, usage: usage.storage }));
  for (const info of manifest.weights) {
    const layers = info.perLayer ? (info.layers ?? Array(manifest.model.layers).keys()) : [undefined];
    for (const layer of layers) {
      buffers.set(weightName(info, layer), upload(weightName(info, layer), await weights(info, layer)));
    }
  }
  for (const table of manifest.tables) {
    device.queue.writeBuffer(buffers.get(table.name), 0, rotations(table, evaluate(table.rows, plan.symbols)));
  }

  const pipelines = new Map();
  const pipelineOf = (name) => {
    if (!pipelines.has(name))
      pipelines.set(
        name,
        compile(
          device,
          manifest.kernels.find((info) => info.name === name),
          read,
        ),
      );
    return pipelines.get(name);
  };

  /** Runs a phase in one pass and one submit and gives the logits of its last position, f32 [vocab]. */
  async function run(kind, ids, start) {
    const { control, calls } = plan.phase(kind, ids, start);
    device.queue.writeBuffer(buffers.get(`control of ${kind}`), 0, control);
    const compiled = await Promise.all(calls.map(({ kernel }) => pipelineOf(kernel)));
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    const parameters = calls.map((call, at) => parameterBlock(compiled[at].info, call.parameters));
    const uniforms = parameters.map((block) =>
      block.byteLength === 0 ? undefined : upload("parameters", block, usage.uniform),
    );
    for (const [at, call] of calls.entries()) {
      const { info, pipeline, layout } = compiled[at];
      const bound = info.bindings.map(({ name }) => buffers.get(call.bound(name)));
      if (uniforms[at] !== undefined) bound.push(uniforms[at]);
      pass.setPipeline(pipeline);
      const entries = bound.map((buffer, binding) => ({ binding, resource: { buffer } }));
      pass.setBindGroup(0, device.createBindGroup({ layout, entries }));
      pass.dispatchWorkgroups(...call.workgroups);
    }
    pass.end();
    const { slot } = manifest.buffers.find(({ name }) => name === "logits");
    const size = manifest.model.vocab * 4;
    const copy = device.createBuffer({ size, usage: usage.readBack });
    encoder.copyBufferToBuffer(buffers.get(slot), 0, copy, 0, size);
    device.queue.submit([encoder.finish()]);
    await copy.mapAsync(1);
    const logits = new Float32Array(copy.getMappedRange().slice(0));
    for (const buffer of [copy, ...uniforms]) buffer?.destroy();
    return logits;
  }

  return {
    manifest,
    prefill: (ids) => run("prefill", ids, 0),
    /** Reads the token at position `position`, the positions before it being known. */
    decode: (id, position) => run("decode", [id], position),
  };
}

async function compile(device, info, read) {
  const module = device.createShaderModule({ label: info.name, code: await read(info.file) });
  const types = info.bindings.map(({ access }) => (access === "read" ? "read-only-storage" : "storage"));
  if (info.parameterBytes > 0) types.push("uniform");
  const layout = device.createBindGroupLayout({
    entries: types.map((type, binding) => ({ binding, visibility: 4, buffer: { type } })),
  });
  const pipelineLayout = device.createPipelineLayout({ bindGroupLayouts: [layout] });
  const compute = { module, entryPoint: info.entryPoint };
  return { info, layout, pipeline: await device.createComputePipelineAsync({ layout: pipelineLayout, compute }) };
}

function parameterBlock({ parameterBytes, parameters }, values) {
  const block = new DataView(new ArrayBuffer(parameterBytes));
  const write = { u32: "setUint32", i32: "setInt32", f32: "setFloat32" };
  for (const { name, type, offset } of parameters) block[write[type]](offset, values[name], true);
  return block;
}

/** Cosines and sines of a rotation table, f32 [rows][pairs][2]; in float64, which WGSL has not. */
function rotations({ frequencies, amplitude, over, index }, rows) {
  const angles = Array.from({ length: rows }, (_, row) =>
    evaluate(index, over === "pos" ? { pos: row } : { copy: row + 1 }),
  );
  const scale = over === "pos" ? amplitude : 1;
  return Float32Array.from(
    angles.flatMap((at) => frequencies.flatMap((f) => [Math.cos(at * f) * scale, Math.sin(at * f) * scale])),
  );
}
