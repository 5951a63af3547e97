import type { ReadSource } from "../compute-device.js";
import type { Device } from "./device.js";
import { bufferUsage, mapRead } from "./gpu-flags.js";

/** Reads device memory back; its staging buffers are used again. */
export class Readback {
  readonly #device: Device;
  readonly #idle: GPUBuffer[] = [];

  constructor(device: Device) {
    this.#device = device;
  }

  /**
   * Encodes the copies, and gives a function that waits for them: to be called after the encoder's commands are submitted. What is read
   * stands one after the other in the order of the sources.
   */
  encode(encoder: GPUCommandEncoder, sources: readonly ReadSource[]): () => Promise<ArrayBuffer> {
    const total = sources.reduce((sum, { bytes }) => sum + bytes, 0);
    const staging = this.#take(total);
    let at = 0;
    for (const { buffer, offset, bytes } of sources) {
      encoder.copyBufferToBuffer(buffer as GPUBuffer, offset, staging, at, bytes);
      at += bytes;
    }
    return async () => {
      await this.#device.wait(staging.mapAsync(mapRead, 0, total));
      const copy = staging.getMappedRange(0, total).slice(0);
      staging.unmap();
      this.#idle.push(staging);
      return copy;
    };
  }

  #take(bytes: number): GPUBuffer {
    const fitting = this.#idle.findIndex((buffer) => buffer.size >= bytes);
    if (fitting >= 0) return this.#idle.splice(fitting, 1)[0]!;
    const usage = bufferUsage.mapRead | bufferUsage.copyTarget;
    return this.#device.gpu.createBuffer({ label: "read back", size: Math.ceil(bytes / 16) * 16, usage });
  }

  destroy(): void {
    for (const buffer of this.#idle) buffer.destroy();
  }
}
