/**
 * What models and sessions need of a device: memory, kernels, programs that are recorded once and replayed, and what comes back.
 *
 * WebGPU (`webgpu/device.ts`) and CUDA (`cuda/device.ts`) implement it. A session speaks of nothing else, so it behaves alike on both.
 *
 * Everything that is given to a device happens in the order in which it was given: writes, submitted commands, copies to the host.
 * Failures surface as typed errors, at the call itself or at the next wait.
 */
import type { KernelInfo, Manifest } from "./manifest.js";
import type { Call } from "./program.js";
import type { PlannedBuffer, SizeLimits } from "./shape.js";

/** Memory of the device. */
export interface DeviceBuffer {
  /** Bytes. */
  readonly size: number;
  destroy(): void;
}

/** A buffer as a kernel sees it. */
export interface BoundBuffer {
  readonly buffer: DeviceBuffer;
  /** Bytes that are bound, from the start. */
  readonly size: number;
}

/** A kernel call with everything decided. */
export interface BoundCall extends Call {
  readonly info: KernelInfo;
  /** In the order of the kernel's bindings. */
  readonly buffers: readonly BoundBuffer[];
  /** The kernel's parameters as its struct; empty when it has none. */
  readonly block: Uint8Array;
}

/** Reads files of a package, by their names in the manifest. */
export interface KernelFiles {
  readonly readText: (file: string) => Promise<string>;
  /** For files that are no text; needed where the manifest names such. */
  readonly readBytes?: (file: string) => Promise<Uint8Array>;
}

/** The kernels of a package on a device. They compile, or load, when they are first wanted. */
export interface DeviceKernels {
  /** Returns when all of these can run. The first that the device refuses is a DeviceError that names it. */
  prepare(names: Iterable<string>): Promise<void>;
  close(): void;
}

/** Calls that were brought to the device; they may be submitted any number of times. */
export interface Recording {
  readonly calls: readonly BoundCall[];
}

export type Command =
  /** The calls [from, to) of a recording; all of them when neither is given. */
  | { readonly kind: "run"; readonly recording: Recording; readonly from?: number; readonly to?: number }
  /** `bytes` from the start of `source` to `offset` in `target`. */
  | {
      readonly kind: "copy";
      readonly source: DeviceBuffer;
      readonly target: DeviceBuffer;
      readonly offset: number;
      readonly bytes: number;
    };

/** A run of bytes to read back. */
export interface ReadSource {
  readonly buffer: DeviceBuffer;
  readonly offset: number;
  readonly bytes: number;
}

export interface Submission {
  /** Names it in messages: `a decode step`. */
  readonly what: string;
  readonly commands: readonly Command[];
  /** Read after the commands. */
  readonly reads: readonly ReadSource[];
  /** Throws what the device finds wrong with it here, not at the next wait. */
  readonly validate?: boolean;
}

/** The programs of a session. A recording takes the place of the last one of its slot, which is void then. */
export type ProgramSlot = "prefill" | "decode" | "sampling";

/** Runs the programs of one session. */
export interface Runner {
  /** Brings calls to the device, once their kernels are ready. `replayed`: the recording is going to be submitted many times. */
  record(slot: ProgramSlot, calls: readonly BoundCall[], replayed: boolean): Promise<Recording>;
  /** Gives a function that waits for what is read, one source after the other. */
  submit(submission: Submission): Promise<() => Promise<ArrayBuffer>>;
  destroy(): void;
}

/** What a program needs of its device, as its manifest says. */
export interface Requirements {
  readonly features: readonly string[];
  readonly limits: Readonly<Record<string, number>>;
}

export interface ComputeDevice {
  /** Packages that it runs. */
  readonly target: Manifest["target"];
  /** One line for people. */
  readonly name: string;
  readonly limits: SizeLimits;
  /** Bytes that are free, where the device tells. */
  freeMemory(): number | undefined;
  /** Throws what went wrong on the device since the last look. */
  assertAlive(): void;
  /** Throws MissingFeature, with all that is missing, unless the device offers what is required. */
  assertOffers(required: Requirements): void;
  /** Zeroed memory; if the device refuses one buffer, none stays and the error is OutOfMemory. */
  allocate(planned: readonly PlannedBuffer[]): Promise<ReadonlyMap<string, DeviceBuffer>>;
  /** The bytes may change as soon as it returns. Offset and length are multiples of four. */
  write(buffer: DeviceBuffer, offset: number, bytes: ArrayBufferView<ArrayBuffer>): void;
  /** Waits until everything that was given to the device is done. */
  settled(): Promise<void>;
  openKernels(manifest: Manifest, files: KernelFiles): DeviceKernels;
  openRunner(kernels: DeviceKernels): Runner;
  close(): void;
}

/** As `Promise.all`, but rejects only when nothing is under way any more. */
export async function everyOf<T>(promises: readonly Promise<T>[]): Promise<T[]> {
  await Promise.allSettled(promises);
  return Promise.all(promises);
}
