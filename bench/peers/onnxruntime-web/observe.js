// Runs in the browser: what an engine asks of WebGPU while it computes, whoever wrote it, and how long each of its kernels takes.

/** From now on, pipelines that have no label bear that of their shader, so that the kernels of every engine have names. */
export function namePipelines() {
  for (const method of ["createComputePipeline", "createComputePipelineAsync"]) {
    replaced(GPUDevice, method, (original) => {
      return function (descriptor) {
        return original.call(this, { ...descriptor, label: descriptor.label || descriptor.compute.module.label });
      };
    });
  }
}

/**
 * Runs `run` with every call to WebGPU noted. Afterwards the calls go to WebGPU as before, so what is timed elsewhere is not slowed.
 * Dispatches keep their bind groups, and what their parameters held when they were encoded: engines use buffers again.
 */
export async function observe(run) {
  const seen = {
    submits: 0,
    passes: 0,
    writes: 0,
    writtenBytes: 0,
    copies: 0,
    copiedBytes: 0,
    waits: 0,
    dispatches: [],
  };
  const written = new Map();
  const bindGroups = new Map();
  const passes = new Map();
  const stateOf = (pass) => passes.get(pass) ?? passes.set(pass, { groups: [] }).get(pass);
  const restore = [
    before(GPUQueue, "submit", () => seen.submits++),
    before(GPUQueue, "writeBuffer", (_, buffer, offset, data, from = 0, size = undefined) => {
      const unit = ArrayBuffer.isView(data) ? (data.BYTES_PER_ELEMENT ?? 1) : 1;
      const all = ArrayBuffer.isView(data)
        ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
        : new Uint8Array(data);
      const bytes = all.slice(from * unit, size === undefined ? undefined : (from + size) * unit);
      seen.writes++;
      seen.writtenBytes += bytes.length;
      if (offset === 0 && (buffer.usage & GPUBufferUsage.UNIFORM) !== 0) written.set(buffer, bytes);
    }),
    before(GPUBuffer, "mapAsync", () => seen.waits++),
    before(GPUCommandEncoder, "beginComputePass", () => seen.passes++),
    before(GPUCommandEncoder, "copyBufferToBuffer", (_, ...given) => {
      // The short form leaves the offsets out.
      const [source, , , , bytes] = typeof given[1] === "number" ? given : [given[0], 0, given[1], 0, given[2]];
      seen.copies++;
      seen.copiedBytes += bytes ?? source.size;
    }),
    before(GPUDevice, "createCommandEncoder", (device) => {
      seen.device = device;
    }),
    after(GPUDevice, "createBindGroup", (group, descriptor) => bindGroups.set(group, descriptor)),
    before(GPUComputePassEncoder, "setPipeline", (pass, pipeline) => {
      stateOf(pass).pipeline = pipeline;
    }),
    before(GPUComputePassEncoder, "setBindGroup", (pass, index, group, ...offsets) => {
      stateOf(pass).groups[index] = { group, offsets };
    }),
    before(GPUComputePassEncoder, "dispatchWorkgroups", (pass, x, y = 1, z = 1) => {
      const { pipeline, groups } = stateOf(pass);
      const own = groups.map(({ group, offsets }) => ({ group, offsets, descriptor: bindGroups.get(group) }));
      const parameters = new Map();
      for (const { descriptor } of own) {
        for (const { resource } of descriptor?.entries ?? []) {
          const buffer = resource.buffer ?? resource;
          if (written.has(buffer)) parameters.set(buffer, written.get(buffer));
        }
      }
      seen.dispatches.push({ name: pipeline.label, pipeline, groups: own, workgroups: [x, y, z], parameters });
    }),
    before(GPUComputePassEncoder, "dispatchWorkgroupsIndirect", () => {
      throw new Error("work of an indirect dispatch is not counted");
    }),
  ];
  try {
    await run();
  } finally {
    for (const undo of restore) undo();
  }
  return seen;
}

/** Calls `note` before a method of every object of a class, with the object first; gives what undoes it. */
function before(type, method, note) {
  return replaced(type, method, (original) => {
    return function (...given) {
      note(this, ...given);
      return original.apply(this, given);
    };
  });
}

/** Calls `note` with what the method gave, and what it was given. */
function after(type, method, note) {
  return replaced(type, method, (original) => {
    return function (...given) {
      const result = original.apply(this, given);
      note(result, ...given);
      return result;
    };
  });
}

function replaced(type, method, replacementOf) {
  const original = type.prototype[method];
  type.prototype[method] = replacementOf(original);
  return () => {
    type.prototype[method] = original;
  };
}

/** Milliseconds that a measurement takes at least, so that submitting it is little beside it. */
const leastMs = 40;
const mostDispatches = 4096;

/**
 * Milliseconds of the dispatches of each kernel of `seen`, one after the other in one pass, as often as it takes to time them; the
 * least of `repeat` measurements. The buffers must still be there.
 */
export async function timeKernels({ device, dispatches }, repeat) {
  const found = [];
  device.pushErrorScope("validation");
  for (const [name, calls] of Map.groupBy(dispatches, (call) => call.name)) {
    const own = calls.map((call) => withParameters(device, call));
    const encode = (rounds) => (encoder) => {
      const pass = encoder.beginComputePass();
      for (let round = 0; round < rounds; round++) for (const call of own) dispatch(pass, call);
      pass.end();
    };
    const once = await least(device, 1, 1, encode(1));
    const most = Math.max(1, Math.floor(mostDispatches / own.length));
    const rounds = Math.min(most, Math.ceil(leastMs / once));
    const ms = (await least(device, repeat, 1, encode(rounds))) / rounds;
    const workgroups = calls.reduce((sum, { workgroups: [x, y, z] }) => sum + x * y * z, 0);
    found.push({ name, dispatches: calls.length, workgroups, ms });
  }
  const error = await device.popErrorScope();
  if (error !== null) throw new Error(`kernels of the engine cannot be run again: ${error.message}`);
  return found;
}

/** A dispatch whose parameters are its own. */
function withParameters(device, { groups, parameters, ...call }) {
  const copies = new Map();
  for (const [buffer, bytes] of parameters) {
    const copy = device.createBuffer({ size: buffer.size, usage: buffer.usage });
    device.queue.writeBuffer(copy, 0, bytes);
    copies.set(buffer, copy);
  }
  const ownEntry = ({ binding, resource }) => {
    const bound = resource.buffer === undefined ? { buffer: resource } : resource;
    return { binding, resource: { ...bound, buffer: copies.get(bound.buffer) ?? bound.buffer } };
  };
  const ownGroup = ({ layout, entries }) => device.createBindGroup({ layout, entries: Array.from(entries, ownEntry) });
  return {
    ...call,
    groups: groups.map(({ group, offsets, descriptor }) => {
      return { offsets, group: descriptor === undefined ? group : ownGroup(descriptor) };
    }),
  };
}

function dispatch(pass, { pipeline, groups, workgroups }) {
  pass.setPipeline(pipeline);
  for (const [index, { group, offsets }] of groups.entries()) pass.setBindGroup(index, group, ...offsets);
  pass.dispatchWorkgroups(...workgroups);
}

/** From the first of `submits` submissions to the end of the last, in milliseconds: the least of `repeat` times, after one more. */
async function least(device, repeat, submits, encode) {
  const times = [];
  for (let time = 0; time <= repeat; time++) {
    const start = performance.now();
    for (let submit = 0; submit < submits; submit++) {
      const encoder = device.createCommandEncoder();
      encode(encoder);
      device.queue.submit([encoder.finish()]);
    }
    await device.queue.onSubmittedWorkDone();
    times.push(performance.now() - start);
  }
  return Math.min(...times.slice(1));
}

/**
 * Milliseconds that dispatches (of one workgroup of 64 invocations, and of 64 workgroups), passes and submissions take that do next to
 * nothing, each after the one before it, as all of them write one word; and those from a submission to the news that it is done.
 */
export async function measureCosts(device, repeat) {
  const code = `@group(0) @binding(0) var<storage, read_write> word: array<u32>;
    @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) { if (id.x == 0u) { word[0] += 1u; } }`;
  const module = device.createShaderModule({ code });
  const pipeline = await device.createComputePipelineAsync({ layout: "auto", compute: { module } });
  const buffer = device.createBuffer({ size: 16, usage: GPUBufferUsage.STORAGE });
  const layout = pipeline.getBindGroupLayout(0);
  const group = device.createBindGroup({ layout, entries: [{ binding: 0, resource: { buffer } }] });
  const call = (workgroups) => ({ pipeline, groups: [{ group, offsets: [] }], workgroups: [workgroups] });
  const measure = ({ submits = 1, passes = 1, dispatches = 1, workgroups = 1 }) =>
    least(device, repeat, submits, (encoder) => {
      for (let pass = 0; pass < passes; pass++) {
        const open = encoder.beginComputePass();
        for (let number = 0; number < dispatches; number++) dispatch(open, call(workgroups));
        open.end();
      }
    });
  const count = 256;
  const roundTripMs = await measure({});
  const each = (ms) => Math.max(0, ms - roundTripMs) / (count - 1);
  const costs = {
    dispatchMs: each(await measure({ dispatches: count })),
    wideDispatchMs: each(await measure({ dispatches: count, workgroups: 64 })),
    passMs: each(await measure({ passes: count })),
    submitMs: each(await measure({ submits: count })),
    roundTripMs,
  };
  buffer.destroy();
  return costs;
}
