/** Reads device memory back without stopping: copies go to locked memory, which is used again. */
import type { ReadSource } from "../compute-device.js";
import type { CheckedDriver } from "./checked-driver.js";
import { type CudaBuffer, Landing } from "./memory.js";

export class CudaReadback {
  readonly #driver: CheckedDriver;
  readonly #stream: bigint;
  /** All of them, and those that nobody waits for. */
  readonly #landings = new Set<Landing>();
  readonly #idle: Landing[] = [];

  constructor(driver: CheckedDriver, stream: bigint) {
    this.#driver = driver;
    this.#stream = stream;
  }

  /** Gives the copies to the stream, and a function that waits for them. What is read stands one after the other. */
  start(sources: readonly ReadSource[]): () => Promise<ArrayBuffer> {
    const total = sources.reduce((sum, { bytes }) => sum + bytes, 0);
    if (total === 0) return async () => new ArrayBuffer(0);
    const landing = this.#take(total);
    let at = 0;
    for (const { buffer, offset, bytes } of sources) {
      const { address, name } = buffer as CudaBuffer;
      const target = landing.address + BigInt(at);
      this.#driver.call(
        `reading ${name}`,
        "cuMemcpyDtoHAsync_v2",
        target,
        address + BigInt(offset),
        bytes,
        this.#stream,
      );
      at += bytes;
    }
    landing.mark(this.#stream);
    return async () => {
      const bytes = await landing.read(total);
      this.#idle.push(landing);
      return bytes;
    };
  }

  #take(bytes: number): Landing {
    const fitting = this.#idle.findIndex((landing) => landing.bytes >= bytes);
    if (fitting >= 0) return this.#idle.splice(fitting, 1)[0]!;
    const landing = new Landing(this.#driver, Math.ceil(bytes / 16) * 16);
    this.#landings.add(landing);
    return landing;
  }

  /** The stream must be done. */
  destroy(): void {
    for (const landing of this.#landings) landing.destroy();
    this.#landings.clear();
  }
}
