/**
 * Calls with their buffers, ready to be encoded: bind groups are made once and shared by equal calls.
 */
import type { BoundBuffer, BoundCall, DeviceBuffer } from "../compute-device.js";
import { MissingFeature } from "../errors.js";
import type { Device } from "./device.js";
import { bufferUsage } from "./gpu-flags.js";
import type { Kernel, KernelSet } from "./kernels.js";

export interface Dispatch {
  readonly pipeline: GPUComputePipeline;
  readonly bindGroup: GPUBindGroup;
  readonly workgroups: readonly [number, number, number];
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
  readonly #name: string;
  #parameters: GPUBuffer | undefined;
  /** Bind groups by kernel, buffers and place of the parameters; valid as long as the parameter buffer is. */
  readonly #bindGroups = new Map<string, GPUBindGroup>();
  readonly #numbers = new Map<DeviceBuffer, number>();

  constructor(device: Device, kernels: KernelSet, name: string) {
    this.#device = device;
    this.#kernels = kernels;
    this.#name = name;
  }

  /**
   * Writes the calls' parameters to the device and gives the dispatches, once their kernels are compiled. Earlier recordings of this
   * recorder are void.
   */
  async record(calls: readonly BoundCall[]): Promise<Dispatch[]> {
    const kernels = await this.#kernels.compiled(calls.map(({ kernel }) => kernel));
    const blocks = new Map<string, number>();
    const recorded = calls.map((call) => {
      const kernel = kernels.get(call.kernel)!;
      const key = call.block.join();
      const offset = blocks.get(key) ?? blocks.size * parameterAlignment;
      blocks.set(key, offset);
      return { call, kernel, offset };
    });
    const bytes = new Uint8Array(blocks.size * parameterAlignment);
    for (const { call, offset } of recorded) bytes.set(call.block, offset);
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
        label: `parameters of ${this.#name}`,
        // Room to grow, so that a prefill with a few more steps does not start over.
        size: bytes.byteLength * 2,
        usage: bufferUsage.uniform | bufferUsage.copyTarget,
      });
    }
    this.#device.queue.writeBuffer(this.#parameters, 0, bytes);
  }

  #dispatch(call: BoundCall, kernel: Kernel, parameterOffset: number): Dispatch {
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
    return {
      pipeline: kernel.pipeline,
      bindGroup: this.#bindGroup(kernel, call.buffers, parameterOffset),
      workgroups: call.workgroups,
    };
  }

  #bindGroup(kernel: Kernel, bound: readonly BoundBuffer[], parameterOffset: number): GPUBindGroup {
    const { name, parameterBytes } = kernel.info;
    const key = `${name}|${bound.map(({ buffer, size }) => `${this.#number(buffer)}:${size}`).join()}|${parameterOffset}`;
    const known = this.#bindGroups.get(key);
    if (known !== undefined) return known;

    const entries: GPUBindGroupEntry[] = bound.map(({ buffer, size }, binding) => ({
      binding,
      resource: { buffer: buffer as GPUBuffer, size },
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

  #number(buffer: DeviceBuffer): number {
    const number = this.#numbers.get(buffer) ?? this.#numbers.size;
    this.#numbers.set(buffer, number);
    return number;
  }
}
