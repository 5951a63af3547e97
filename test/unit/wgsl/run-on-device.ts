import { emitWgsl } from "../../../src/backends/wgsl/module.js";
import type { Capability } from "../../../src/ir/kernel/capabilities.js";
import { type Kernel, paramsBinding, paramsSize } from "../../../src/ir/kernel/kernel.js";
import { findAdapter } from "../../../src/runtime/node/adapter.js";
import { type DeviceRun, encodeParams } from "./compare.js";

/** Dawn in Node defines the interfaces but not the flags as globals. */
const usages = { MAP_READ: 0x1, COPY_SRC: 0x4, COPY_DST: 0x8, UNIFORM: 0x40, STORAGE: 0x80 };
const mapRead = 1;

export interface TestDevice {
  readonly device: GPUDevice;
  /** The adapter lives as long as this. */
  readonly adapter: GPUAdapter;
  readonly name: string;
  readonly features: ReadonlySet<Capability>;
  readonly subgroupSize: number;
}

/** A device on npm's software adapter, with whatever optional features it has. */
export async function openDevice(): Promise<TestDevice> {
  const { adapter } = await findAdapter("software");
  const wanted: readonly (readonly [Capability, GPUFeatureName])[] = [
    ["subgroups", "subgroups"],
    ["f16", "shader-f16"],
  ];
  const found = wanted.filter(([, feature]) => adapter.features.has(feature));
  const device = await adapter.requestDevice({ requiredFeatures: found.map(([, feature]) => feature) });
  const { description, subgroupMinSize } = adapter.info;
  const features = new Set(found.map(([capability]) => capability));
  return { device, adapter, name: description, features, subgroupSize: subgroupMinSize ?? 4 };
}

/** Compiles a kernel's WGSL; throws what the compiler reports, with the text. */
export async function compileOnDevice({ device }: TestDevice, kernel: Kernel): Promise<GPUComputePipeline> {
  const code = emitWgsl(kernel);
  device.pushErrorScope("validation");
  const module = device.createShaderModule({ code });
  const { messages } = await module.getCompilationInfo();
  const pipeline = device.createComputePipeline({
    layout: "auto",
    compute: { module, entryPoint: kernel.name },
  });
  const error = await device.popErrorScope();
  if (messages.length > 0 || error !== null) {
    const found = messages.map(({ lineNum, message }) => `line ${lineNum}: ${message}`);
    throw new Error([error?.message, ...found, code].join("\n"));
  }
  return pipeline;
}

/** Runs a kernel on the device and copies what it wrote back into the run's arrays. */
export async function runOnDevice(test: TestDevice, kernel: Kernel, run: DeviceRun): Promise<void> {
  const { device } = test;
  const pipeline = await compileOnDevice(test, kernel);
  const usage = usages.STORAGE | usages.COPY_SRC | usages.COPY_DST;
  const buffers = kernel.buffers.map(({ name }) => {
    const data = run.buffers[name]!;
    const buffer = device.createBuffer({ size: Math.ceil(data.byteLength / 16) * 16, usage });
    device.queue.writeBuffer(buffer, 0, data as BufferSource);
    return buffer;
  });
  const entries: GPUBindGroupEntry[] = buffers.map((buffer, binding) => ({ binding, resource: { buffer } }));
  if (kernel.params.length > 0) {
    const buffer = device.createBuffer({
      size: paramsSize(kernel),
      usage: usages.UNIFORM | usages.COPY_DST,
    });
    device.queue.writeBuffer(buffer, 0, encodeParams(kernel, run.params));
    entries.push({ binding: paramsBinding(kernel), resource: { buffer } });
  }
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
  pass.dispatchWorkgroups(...run.workgroups);
  pass.end();
  const readbacks = buffers.map((buffer) => {
    const readback = device.createBuffer({
      size: buffer.size,
      usage: usages.MAP_READ | usages.COPY_DST,
    });
    encoder.copyBufferToBuffer(buffer, 0, readback, 0, buffer.size);
    return readback;
  });
  device.queue.submit([encoder.finish()]);
  for (const [i, { name }] of kernel.buffers.entries()) {
    const data = run.buffers[name]!;
    await readbacks[i]!.mapAsync(mapRead);
    const bytes = new Uint8Array(readbacks[i]!.getMappedRange(), 0, data.byteLength);
    new Uint8Array(data.buffer, data.byteOffset, data.byteLength).set(bytes);
  }
}
