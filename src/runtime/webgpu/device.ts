/**
 * A WebGPU device whose failures surface.
 *
 * WebGPU reports most errors beside the calls that cause them: in error scopes, in `uncapturederror` events, through the promise
 * `lost`. Here each of them becomes a typed error thrown at the next place where the caller waits anyway.
 */

import type {
  ComputeDevice,
  DeviceBuffer,
  DeviceKernels,
  KernelFiles,
  Requirements,
  Runner,
} from "../compute-device.js";
import { DeviceError, DeviceLost, MissingFeature, OutOfMemory, PhdcError } from "../errors.js";
import type { Manifest } from "../manifest.js";
import type { PlannedBuffer } from "../shape.js";
import { type AdapterDescription, describeAdapter } from "./adapter-info.js";
import { bufferUsage } from "./gpu-flags.js";
import { KernelSet } from "./kernels.js";
import { GpuRunner } from "./runner.js";

/** Features that kernels may be compiled for; requested wherever the adapter has them. */
const usefulFeatures = ["shader-f16", "subgroups", "timestamp-query"] as const;

/** Limits that decide what fits; requested at the adapter's best. */
const usefulLimits = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupSizeY",
  "maxComputeWorkgroupSizeZ",
  "maxComputeWorkgroupsPerDimension",
] as const;

const storage = bufferUsage.storage | bufferUsage.copyTarget | bufferUsage.copySource;

export type DeviceLimits = Readonly<Record<(typeof usefulLimits)[number], number>>;

/**
 * Opens a device with the adapter's best limits and every feature that kernels can use.
 *
 * `atMost` lowers limits, below WebGPU's defaults too: what runs then runs on a device that offers no more.
 */
export async function openDevice(adapter: GPUAdapter, atMost: Partial<DeviceLimits> = {}): Promise<Device> {
  const requiredFeatures = usefulFeatures.filter((feature) => adapter.features.has(feature)) as GPUFeatureName[];
  const requiredLimits: Record<string, number> = {};
  for (const name of usefulLimits) {
    // Limits that an older implementation does not know cannot be asked for.
    if (adapter.limits[name] !== undefined) requiredLimits[name] = adapter.limits[name];
  }
  const description = describeAdapter(adapter);
  try {
    return new Device(await adapter.requestDevice({ requiredFeatures, requiredLimits }), description, atMost);
  } catch (cause) {
    if (cause instanceof PhdcError) throw cause;
    throw new DeviceError(`${description.name} gives no device: ${(cause as Error).message}`, { cause });
  }
}

export class Device implements ComputeDevice {
  readonly target = "webgpu";
  readonly gpu: GPUDevice;
  readonly adapter: AdapterDescription;
  readonly limits: DeviceLimits;
  /** The first failure that no scope caught; every later wait throws it. */
  #failure: PhdcError | undefined;

  constructor(gpu: GPUDevice, adapter: AdapterDescription, atMost: Partial<DeviceLimits> = {}) {
    this.gpu = gpu;
    this.adapter = adapter;
    this.limits = Object.fromEntries(
      usefulLimits.map((name) => [name, Math.min(gpu.limits[name] ?? 0, atMost[name] ?? Number.POSITIVE_INFINITY)]),
    ) as Record<keyof DeviceLimits, number>;
    gpu.addEventListener("uncapturederror", (event) => {
      this.#failure ??= typedError((event as GPUUncapturedErrorEvent).error, "a command");
    });
    void gpu.lost.then((info) => {
      this.#failure = new DeviceLost(
        info.reason === "destroyed"
          ? "the device was closed"
          : `the device was lost: ${info.message || "no reason given"}`,
        {
          details: { reason: info.reason ?? "unknown", adapter: adapter.name },
          hint: "Open a new device and a new session.",
        },
      );
    });
  }

  get name(): string {
    return this.adapter.name;
  }

  get features(): ReadonlySet<string> {
    return this.gpu.features;
  }

  get queue(): GPUQueue {
    return this.gpu.queue;
  }

  /** WebGPU does not tell. */
  freeMemory(): undefined {
    return undefined;
  }

  /** Throws what went wrong on the device since the last look. */
  assertAlive(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Waits for something the device does; its loss or an error of an earlier command takes the place of whatever the wait gives. */
  async wait<T>(promise: Promise<T>): Promise<T> {
    try {
      const value = await promise;
      this.assertAlive();
      return value;
    } catch (error) {
      // A lost device rejects its pending maps first and tells that it is lost afterwards.
      await Promise.race([this.gpu.lost, new Promise((resolve) => setTimeout(resolve, 0))]);
      this.assertAlive();
      throw error;
    }
  }

  /** Runs `work` and throws what the device found wrong with it. `what` names it in the message. */
  async checked<T>(what: string, work: () => T): Promise<T> {
    this.assertAlive();
    for (const filter of ["internal", "out-of-memory", "validation"] as const) this.gpu.pushErrorScope(filter);
    let result: T;
    let pops: Promise<GPUError | null>[];
    try {
      result = work();
    } finally {
      pops = [this.gpu.popErrorScope(), this.gpu.popErrorScope(), this.gpu.popErrorScope()];
    }
    const error = (await this.wait(Promise.all(pops))).find((found) => found !== null);
    if (error) throw typedError(error, what);
    return result;
  }

  /** Throws MissingFeature, with all that is missing, unless the device offers what is required. */
  assertOffers(required: Requirements): void {
    const missing = required.features.filter((feature) => !this.features.has(feature));
    const short = Object.entries(required.limits)
      .map(([name, needed]) => ({ name, needed, offered: this.#offered(name) }))
      .filter(({ needed, offered }) => offered < needed);
    if (missing.length === 0 && short.length === 0) return;
    const parts = [
      ...missing.map((feature) => `the feature ${feature}`),
      ...short.map(({ name, needed, offered }) => `${name} of ${needed} (it offers ${offered})`),
    ];
    throw new MissingFeature(`${this.adapter.name} lacks ${parts.join(", ")}`, {
      details: { adapter: this.adapter.name, features: missing, limits: short.map(({ name }) => name) },
      hint: "Compile for what this adapter offers, or use another one.",
    });
  }

  #offered(limit: string): number {
    const limits: Readonly<Record<string, number | undefined>> = this.limits;
    return limits[limit] ?? (this.gpu.limits as unknown as typeof limits)[limit] ?? 0;
  }

  async allocate(planned: readonly PlannedBuffer[]): Promise<ReadonlyMap<string, GPUBuffer>> {
    const buffers = new Map<string, GPUBuffer>();
    try {
      const total = planned.reduce((sum, { bytes }) => sum + bytes, 0);
      await this.checked(`${planned.length} buffers of ${total} bytes`, () => {
        for (const { name, bytes } of planned) {
          buffers.set(name, this.gpu.createBuffer({ label: name, size: bytes, usage: storage }));
        }
      });
    } catch (error) {
      for (const buffer of buffers.values()) buffer.destroy();
      // Dawn throws where other implementations report: a buffer too large for the address space.
      if (error instanceof RangeError) throw new OutOfMemory("the device has no memory left", { cause: error });
      throw error;
    }
    return buffers;
  }

  write(buffer: DeviceBuffer, offset: number, bytes: ArrayBufferView<ArrayBuffer>): void {
    this.queue.writeBuffer(buffer as GPUBuffer, offset, bytes);
  }

  async settled(): Promise<void> {
    await this.wait(this.queue.onSubmittedWorkDone());
  }

  openKernels(manifest: Manifest, files: KernelFiles): KernelSet {
    return new KernelSet(this, manifest, files);
  }

  openRunner(kernels: DeviceKernels): Runner {
    return new GpuRunner(this, kernels as KernelSet);
  }

  /** Ends the device; whatever waits on it throws DeviceLost. */
  close(): void {
    this.gpu.destroy();
  }
}

function typedError(error: GPUError, what: string): PhdcError {
  // By name where classes are no globals; `instanceof` would fail there.
  const kind = error.constructor.name;
  if (kind === "GPUOutOfMemoryError") {
    return new OutOfMemory(`the device has no memory left for ${what}`, { details: { message: error.message } });
  }
  return new DeviceError(`the device refused ${what}: ${error.message}`, { details: { kind } });
}
