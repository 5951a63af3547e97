/**
 * A CUDA device: the primary context of a GPU and one stream, on which everything happens in the order in which it is given.
 */
import type {
  ComputeDevice,
  DeviceBuffer,
  DeviceKernels,
  KernelFiles,
  Requirements,
  Runner,
} from "../compute-device.js";
import { MissingFeature, NoAdapter, RequestError } from "../errors.js";
import type { Manifest } from "../manifest.js";
import type { PlannedBuffer, SizeLimits } from "../shape.js";
import { CheckedDriver } from "./checked-driver.js";
import { type CudaDescription, describeDevice } from "./device-info.js";
import { type DriverLibrary, eventDisableTiming, streamNonBlocking } from "./driver.js";
import { CudaBuffer, eventDone } from "./memory.js";
import type { ModuleBuilder } from "./module-builder.js";
import { CudaKernels } from "./modules.js";
import type { ResourceKind } from "./resources.js";
import { CudaRunner } from "./runner.js";

export interface CudaOptions {
  /** Which of the devices that the driver lists; the first when left out. */
  readonly ordinal?: number;
  /** What makes modules of kernel texts, tried in this order. */
  readonly builders?: readonly ModuleBuilder[];
}

/** What kernels need the least: matrix units with bf16 and asynchronous copies. */
export const leastComputeCapability = 80;

export class CudaDevice implements ComputeDevice {
  readonly target = "cuda";
  readonly description: CudaDescription;
  readonly limits: SizeLimits;
  readonly #driver: CheckedDriver;
  readonly #handle: number;
  readonly #context: bigint;
  readonly #stream: bigint;
  readonly #builders: readonly ModuleBuilder[];
  #closed = false;

  /** Opens a device. Throws NoAdapter where there is none. */
  static open(library: DriverLibrary, { ordinal = 0, builders = [] }: CudaOptions = {}): CudaDevice {
    const driver = new CheckedDriver(library);
    driver.call("starting CUDA", "cuInit", 0);
    const count = driver.number("counting devices", "cuDeviceGetCount");
    if (ordinal >= count) {
      throw new NoAdapter(`the CUDA driver has ${count} devices, and number ${ordinal} was asked for`, {
        details: { devices: count, ordinal },
      });
    }
    return new CudaDevice(driver, driver.number(`device ${ordinal}`, "cuDeviceGet", ordinal), builders);
  }

  private constructor(driver: CheckedDriver, handle: number, builders: readonly ModuleBuilder[]) {
    this.#driver = driver;
    this.#handle = handle;
    this.#builders = builders;
    this.description = describeDevice(driver, handle);
    const { memoryBytes } = this.description;
    this.limits = { maxBufferSize: memoryBytes, maxStorageBufferBindingSize: memoryBytes };
    this.#context = driver.create(this.name, "cuDevicePrimaryCtxRetain", handle);
    driver.resources.created("context");
    driver.use(this.#context);
    this.#stream = driver.create(this.name, "cuStreamCreate", streamNonBlocking);
    driver.resources.created("stream");
  }

  get name(): string {
    return this.description.name;
  }

  /** What of the driver's is held now, by kind: after everything is closed, nothing. */
  get resources(): Readonly<Partial<Record<ResourceKind, number>>> {
    return this.#driver.resources.live;
  }

  freeMemory(): number | undefined {
    return this.#driver.memoryInfo()?.free;
  }

  assertAlive(): void {
    if (this.#closed) throw new RequestError("the device is closed");
    this.#driver.assertAlive();
  }

  assertOffers({ features, limits }: Requirements): void {
    const { computeCapability, maxThreadsPerBlock, maxSharedMemoryPerBlock } = this.description;
    const offered: Readonly<Record<string, number | undefined>> = {
      computeCapability,
      maxThreadsPerBlock,
      maxSharedMemoryPerBlock,
    };
    const needed = { computeCapability: leastComputeCapability, ...limits };
    const short = Object.entries(needed).filter(([name, value]) => (offered[name] ?? 0) < value);
    if (short.length === 0) return;
    const words = short.map(([name, value]) => `${name} of ${value} (it offers ${offered[name] ?? "none"})`);
    throw new MissingFeature(`${this.name} lacks ${words.join(", ")}`, {
      details: { adapter: this.name, features, limits: short.map(([name]) => name) },
      hint: "CUDA kernels need a GPU of compute capability 8.0 or newer.",
    });
  }

  async allocate(planned: readonly PlannedBuffer[]): Promise<ReadonlyMap<string, CudaBuffer>> {
    this.assertAlive();
    const buffers = new Map<string, CudaBuffer>();
    try {
      for (const { name, bytes } of planned) {
        buffers.set(name, new CudaBuffer(this.#driver, this.#stream, name, bytes));
      }
    } catch (error) {
      for (const buffer of buffers.values()) buffer.destroy();
      throw error;
    }
    return buffers;
  }

  write(buffer: DeviceBuffer, offset: number, bytes: ArrayBufferView<ArrayBuffer>): void {
    this.assertAlive();
    const { address, name } = buffer as CudaBuffer;
    const target = address + BigInt(offset);
    this.#driver.call(`writing ${name}`, "cuMemcpyHtoDAsync_v2", target, bytes, bytes.byteLength, this.#stream);
  }

  async settled(): Promise<void> {
    this.assertAlive();
    const what = "the end of everything so far";
    const event = this.#driver.create(what, "cuEventCreate", eventDisableTiming);
    this.#driver.resources.created("event");
    try {
      this.#driver.call(what, "cuEventRecord", event, this.#stream);
      await eventDone(this.#driver, event);
    } finally {
      this.#driver.release(what, "cuEventDestroy_v2", event);
      this.#driver.resources.released("event");
    }
  }

  openKernels(manifest: Manifest, files: KernelFiles): CudaKernels {
    return new CudaKernels(this.#driver, manifest, files, this.#builders, this.description);
  }

  openRunner(kernels: DeviceKernels): Runner {
    this.assertAlive();
    return new CudaRunner(this.#driver, this.#stream, kernels as CudaKernels);
  }

  /** Models must be closed before. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#driver.release(this.name, "cuStreamDestroy_v2", this.#stream);
    this.#driver.resources.released("stream");
    this.#driver.release(this.name, "cuDevicePrimaryCtxRelease_v2", this.#handle);
    this.#driver.resources.released("context");
  }
}
