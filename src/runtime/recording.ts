/**
 * Calls with their buffers, ready to be encoded: bind groups are made once and shared by equal calls.
 */
import type { BoundBuffer, BufferTable } from "./buffers.js";
import { bufferUsage, type Device } from "./device.js";
import { MissingFeature } from "./errors.js";
import type { Kernel, KernelSet } from "./kernels.js";
import type { KernelInfo } from "./manifest.js";
import type { Call } from "./program.js";

export interface Dispatch {
  readonly pipeline: GPUComputePipeline;
  readonly bindGroup: GPUBindGroup;
  readonly workgroups: readonly [number, number, number];
  /** As in its call. */
  readonly firstRow: number;
}

/** Parameters start at multiples of this many bytes, which every device accepts. */
const parameterAlignment = 256;
/** Bind groups that a recorder keeps before it starts over. */
const mostBindGroups = 4096;

/**
 * The calls of one phase as dispatches, with the parameter buffer that they read. A recording is replayed as often as wanted; recording
 * anew writes the parameters anew.
 */
export class Recorder {
  readonly #device: Device;
  readonly #kernels: KernelSet;
  readonly #table: BufferTable;
  readonly #phase: "prefill" | "decode";
  #parameters: GPUBuffer | undefined;
  /** Bind groups by kernel, buffers and place of the parameters; valid as long as the parameter buffer is. */
  readonly #bindGroups = new Map<string, GPUBindGroup>();
  readonly #numbers = new Map<GPUBuffer, number>();

  constructor(device: Device, kernels: KernelSet, table: BufferTable, phase: "prefill" | "decode") {
    this.#device = device;
    this.#kernels = kernels;
    this.#table = table;
    this.#phase = phase;
  }

  /**
   * Writes the calls' parameters to the device and gives the dispatches, once their kernels are compiled. Earlier recordings of this
   * recorder are void.
   */
  async record(calls: readonly Call[]): Promise<Dispatch[]> {
    const kernels = await this.#kernels.compiled(calls.map(({ kernel }) => kernel));
    const blocks = new Map<string, number>();
    const recorded = calls.map((call) => {
      const kernel = kernels.get(call.kernel)!;
      const block = parameterBlock(kernel.info, call.parameters);
      const key = block.join();
      const offset = blocks.get(key) ?? blocks.size * parameterAlignment;
      blocks.set(key, offset);
      return { call, kernel, block, offset };
    });
    const bytes = new Uint8Array(blocks.size * parameterAlignment);
    for (const { block, offset } of recorded) bytes.set(block, offset);
    this.#writeParameters(bytes);
    return recorded.map(({ call, kernel, offset }) => this.#dispatch(call, kernel, offset));
  }

  destroy(): void {
    this.#parameters?.destroy();
  }

  #writeParameters(bytes: Uint8Array<ArrayBuffer>): void {
    if (bytes.byteLength === 0) return;
    if (this.#parameters === undefined || this.#parameters.size < bytes.byteLength) {
      this.#parameters?.destroy();
      this.#bindGroups.clear();
      this.#parameters = this.#device.gpu.createBuffer({
        label: `parameters of ${this.#phase}`,
        // Room to grow, so that a prefill with a few more steps does not start over.
        size: bytes.byteLength * 2,
        usage: bufferUsage.uniform | bufferUsage.copyTarget,
      });
    }
    this.#device.queue.writeBuffer(this.#parameters, 0, bytes);
  }

  #dispatch(call: Call, kernel: Kernel, parameterOffset: number): Dispatch {
    const most = this.#device.limits.maxComputeWorkgroupsPerDimension;
    if (call.workgroups.some((count) => count > most)) {
      throw new MissingFeature(
        `the step ${call.step} needs ${call.workgroups.join(" × ")} workgroups and the device allows ${most}`,
        {
          details: { step: call.step, workgroups: call.workgroups, limit: most },
          hint: "Open the session with a smaller slice or batch.",
        },
      );
    }
    const bound = kernel.info.bindings.map(({ name }) => {
      const source = call.bindings[name];
      if (source === undefined) throw new Error(`the step ${call.step} binds nothing to ${name}`);
      return this.#table.find(source, { phase: this.#phase, layer: call.layer, part: call.part });
    });
    return {
      pipeline: kernel.pipeline,
      bindGroup: this.#bindGroup(kernel, bound, parameterOffset),
      workgroups: call.workgroups,
      firstRow: call.firstRow,
    };
  }

  #bindGroup(kernel: Kernel, bound: readonly BoundBuffer[], parameterOffset: number): GPUBindGroup {
    const { name, parameterBytes } = kernel.info;
    const key = `${name}|${bound.map(({ buffer, size }) => `${this.#number(buffer)}:${size}`).join()}|${parameterOffset}`;
    const known = this.#bindGroups.get(key);
    if (known !== undefined) return known;

    const entries: GPUBindGroupEntry[] = bound.map(({ buffer, size }, binding) => ({
      binding,
      resource: { buffer, size },
    }));
    if (parameterBytes > 0) {
      const resource = { buffer: this.#parameters!, offset: parameterOffset, size: parameterBytes };
      entries.push({ binding: bound.length, resource });
    }
    // Slices of a long life of prefills differ in where their parameters stand.
    if (this.#bindGroups.size >= mostBindGroups) this.#bindGroups.clear();
    const bindGroup = this.#device.gpu.createBindGroup({ label: name, layout: kernel.layout, entries });
    this.#bindGroups.set(key, bindGroup);
    return bindGroup;
  }

  #number(buffer: GPUBuffer): number {
    const number = this.#numbers.get(buffer) ?? this.#numbers.size;
    this.#numbers.set(buffer, number);
    return number;
  }
}

/** The uniform struct of a call. */
function parameterBlock(info: KernelInfo, values: Readonly<Record<string, number>>): Uint8Array {
  const block = new DataView(new ArrayBuffer(info.parameterBytes));
  for (const { name, type, offset } of info.parameters) {
    const value = values[name];
    if (value === undefined) throw new Error(`the kernel ${info.name} is given no ${name}`);
    if (type === "f32") block.setFloat32(offset, value, true);
    else if (type === "i32") block.setInt32(offset, value, true);
    else block.setUint32(offset, value, true);
  }
  return new Uint8Array(block.buffer);
}

/**
 * Encodes dispatches into one compute pass. For debugging, `giveUpRows` may encode commands wherever rows before a given one are needed no
 * more; the pass is cut there.
 */
export function encode(
  encoder: GPUCommandEncoder,
  dispatches: readonly Dispatch[],
  giveUpRows?: (before: number) => void,
): void {
  let pass = encoder.beginComputePass();
  let pipeline: GPUComputePipeline | undefined;
  let firstRow = 0;
  for (const dispatch of dispatches) {
    if (giveUpRows !== undefined && dispatch.firstRow > firstRow) {
      pass.end();
      giveUpRows(dispatch.firstRow);
      pass = encoder.beginComputePass();
      pipeline = undefined;
      firstRow = dispatch.firstRow;
    }
    if (dispatch.pipeline !== pipeline) pass.setPipeline(dispatch.pipeline);
    pipeline = dispatch.pipeline;
    pass.setBindGroup(0, dispatch.bindGroup);
    pass.dispatchWorkgroups(...dispatch.workgroups);
  }
  pass.end();
}
