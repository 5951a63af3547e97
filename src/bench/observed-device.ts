/**
 * A device that keeps what sessions bring to it.
 *
 * Everything is handed on to the device behind it, so what runs is what would run without it. The benchmark counts and times the very
 * calls that a session recorded, and not a list that it made up itself.
 */
import type {
  BoundCall,
  ComputeDevice,
  DeviceBuffer,
  DeviceKernels,
  KernelFiles,
  ProgramSlot,
  Requirements,
  Runner,
  Submission,
} from "../runtime/compute-device.js";
import type { Manifest } from "../runtime/manifest.js";
import type { PlannedBuffer, SizeLimits } from "../runtime/shape.js";

/** What sessions did since the last `forget`. */
export interface Observed {
  /** The newest recording of each slot. */
  readonly recorded: ReadonlyMap<ProgramSlot, readonly BoundCall[]>;
  /** Every recording of a prefill slice, in order. */
  readonly slices: readonly (readonly BoundCall[])[];
  readonly submissions: number;
  /** Bytes that were read back. */
  readonly readBytes: number;
  /** Bytes that the host wrote to the device. */
  readonly writtenBytes: number;
}

export class ObservedDevice implements ComputeDevice {
  readonly target: Manifest["target"];
  readonly name: string;
  readonly limits: SizeLimits;
  readonly device: ComputeDevice;
  #recorded = new Map<ProgramSlot, readonly BoundCall[]>();
  #slices: (readonly BoundCall[])[] = [];
  #submissions = 0;
  #readBytes = 0;
  #writtenBytes = 0;

  constructor(device: ComputeDevice) {
    this.device = device;
    this.target = device.target;
    this.name = device.name;
    this.limits = device.limits;
  }

  get observed(): Observed {
    return {
      recorded: new Map(this.#recorded),
      slices: this.#slices,
      submissions: this.#submissions,
      readBytes: this.#readBytes,
      writtenBytes: this.#writtenBytes,
    };
  }

  forget(): void {
    this.#recorded = new Map();
    this.#slices = [];
    this.#submissions = 0;
    this.#readBytes = 0;
    this.#writtenBytes = 0;
  }

  freeMemory(): number | undefined {
    return this.device.freeMemory();
  }

  assertAlive(): void {
    this.device.assertAlive();
  }

  assertOffers(required: Requirements): void {
    this.device.assertOffers(required);
  }

  allocate(planned: readonly PlannedBuffer[]): Promise<ReadonlyMap<string, DeviceBuffer>> {
    return this.device.allocate(planned);
  }

  write(buffer: DeviceBuffer, offset: number, bytes: ArrayBufferView<ArrayBuffer>): void {
    this.#writtenBytes += bytes.byteLength;
    this.device.write(buffer, offset, bytes);
  }

  settled(): Promise<void> {
    return this.device.settled();
  }

  openKernels(manifest: Manifest, files: KernelFiles): DeviceKernels {
    return this.device.openKernels(manifest, files);
  }

  openRunner(kernels: DeviceKernels): Runner {
    const runner = this.device.openRunner(kernels);
    return {
      record: (slot, calls, replayed) => {
        this.#keep(slot, calls);
        return runner.record(slot, calls, replayed);
      },
      submit: (submission) => {
        this.#count(submission);
        return runner.submit(submission);
      },
      destroy: () => runner.destroy(),
    };
  }

  close(): void {
    this.device.close();
  }

  #keep(slot: ProgramSlot, calls: readonly BoundCall[]): void {
    this.#recorded.set(slot, calls);
    if (slot === "prefill") this.#slices.push(calls);
  }

  #count({ reads }: Submission): void {
    this.#submissions++;
    this.#readBytes += reads.reduce((total, { bytes }) => total + bytes, 0);
  }
}
