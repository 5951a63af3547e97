/** Memory of a CUDA device, and locked memory of the host that it copies to. */
import type { DeviceBuffer } from "../compute-device.js";
import { RequestError } from "../errors.js";
import type { CheckedDriver } from "./checked-driver.js";
import { cuResult, eventDisableTiming } from "./driver.js";

export class CudaBuffer implements DeviceBuffer {
  readonly name: string;
  readonly size: number;
  readonly address: bigint;
  readonly #driver: CheckedDriver;
  #freed = false;

  /** `size` bytes of zeros. */
  constructor(driver: CheckedDriver, stream: bigint, name: string, size: number) {
    this.#driver = driver;
    this.name = name;
    this.size = size;
    this.address = driver.create(`${size} bytes for ${name}`, "cuMemAlloc_v2", size);
    driver.resources.created("buffer");
    driver.call(name, "cuMemsetD8Async", this.address, 0, size, stream);
  }

  destroy(): void {
    if (this.#freed) return;
    this.#freed = true;
    this.#driver.release(this.name, "cuMemFree_v2", this.address);
    this.#driver.resources.released("buffer");
  }
}

/** Where a copy from the device lands: locked memory, and an event that tells when the copy is done. */
export class Landing {
  readonly bytes: number;
  readonly address: bigint;
  readonly #driver: CheckedDriver;
  readonly #event: bigint;
  readonly #view: Uint8Array<ArrayBuffer>;
  #freed = false;

  constructor(driver: CheckedDriver, bytes: number) {
    this.#driver = driver;
    this.bytes = bytes;
    this.address = driver.create(`${bytes} bytes to read back to`, "cuMemHostAlloc", bytes, 0);
    driver.resources.created("pinned memory");
    this.#view = driver.memory.view(this.address, bytes);
    this.#event = driver.create("the end of a copy", "cuEventCreate", eventDisableTiming);
    driver.resources.created("event");
  }

  /** Marks the end of the copies that were given to the stream. */
  mark(stream: bigint): void {
    this.#driver.call("the end of a copy", "cuEventRecord", this.#event, stream);
  }

  /** The first `bytes` bytes, once everything before the mark is done. */
  async read(bytes: number): Promise<ArrayBuffer> {
    await eventDone(this.#driver, this.#event, () => {
      if (this.#freed) throw new RequestError("the session was closed before what it computed was read");
    });
    return this.#view.slice(0, bytes).buffer;
  }

  destroy(): void {
    this.#freed = true;
    this.#driver.release("the end of a copy", "cuEventDestroy_v2", this.#event);
    this.#driver.resources.released("event");
    this.#driver.release("memory to read back to", "cuMemFreeHost", this.address);
    this.#driver.resources.released("pinned memory");
  }
}

/** Looks that give way to whatever else the process does, before the looks get rarer. */
const eagerLooks = 2000;

/**
 * Waits for an event without holding up the process: a wait in the driver would stop it. `assertThere` throws once the event is gone.
 */
export async function eventDone(driver: CheckedDriver, event: bigint, assertThere = () => {}): Promise<void> {
  for (let look = 0; ; look++) {
    assertThere();
    const result = driver.result("cuEventQuery", event);
    if (result === cuResult.success) return;
    if (result !== cuResult.notReady) throw driver.error("waiting for the device", "cuEventQuery", result);
    await (look < eagerLooks ? immediately() : new Promise<void>((resolve) => setTimeout(resolve, 1)));
  }
}

/** After the events that are there now; a timer would take a millisecond, which is a decode step. */
function immediately(): Promise<void> {
  const { setImmediate } = globalThis as { readonly setImmediate?: (run: () => void) => unknown };
  return new Promise((resolve) => (setImmediate === undefined ? setTimeout(resolve, 0) : setImmediate(resolve)));
}
