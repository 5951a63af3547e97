/**
 * Streams weights to the device: shard by shard, a large tensor in pieces, so that the host never holds more than a piece.
 */
import type { Checkpoint, CheckpointTensor, LoadProgress } from "./checkpoint.js";
import type { ComputeDevice, DeviceBuffer } from "./compute-device.js";
import { convertFloats, dtypeBytes, type FloatDtype } from "./dtype.js";
import type { WeightInfo } from "./manifest.js";
import { findMisfits, type PackedWeight, type Placement, placementsOf, storedAs, type WeightPart } from "./packing.js";
import { elementBytes } from "./shape.js";

/** Bytes read from a checkpoint at a time. A multiple of every element size, and of the four bytes that writes to a buffer count in. */
const pieceBytes = 16 * 1024 * 1024;
/** Bytes given to the queue before the host waits for the device to take them. */
const queuedBytes = 256 * 1024 * 1024;

export interface UploadOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: LoadProgress) => void;
}

/** Gives the buffer of every part of a packed weight. */
export type PartBuffers = (weight: PackedWeight) => readonly DeviceBuffer[];

/** Fills the buffers of all packed weights from a checkpoint. Throws the first misfit before anything is read. */
export async function uploadWeights(
  device: ComputeDevice,
  weights: readonly PackedWeight[],
  buffersOf: PartBuffers,
  checkpoint: Checkpoint,
  { signal, onProgress }: UploadOptions = {},
): Promise<void> {
  const [misfit] = findMisfits(weights, checkpoint);
  if (misfit !== undefined) throw misfit;

  const placements = placementsOf(weights);
  const writer = new WeightWriter(device, buffersOf);
  const wanted = [...checkpoint.tensors.values()].filter(({ name }) => placements.has(name));
  const totalBytes = wanted.reduce((total, { byteLength }) => total + byteLength, 0);
  let bytes = 0;
  for (const tensor of wanted) {
    for (let start = 0; start < tensor.byteLength; start += pieceBytes) {
      signal?.throwIfAborted();
      const piece = await checkpoint.read(tensor, start, Math.min(pieceBytes, tensor.byteLength - start));
      for (const placement of placements.get(tensor.name)!) writer.write(placement, tensor, start, piece);
      bytes += piece.byteLength;
      onProgress?.({ bytes, totalBytes, tensor: tensor.name });
      await writer.keepPace();
    }
  }
  writer.flush();
  await device.settled();
}

class WeightWriter {
  readonly #device: ComputeDevice;
  readonly #buffersOf: PartBuffers;
  /** Weights with a source that begins or ends inside a word of four bytes (odd vectors in 16 bits), put together on the host. */
  readonly #staged = new Map<PackedWeight, Uint8Array<ArrayBuffer>>();
  #queued = 0;

  constructor(device: ComputeDevice, buffersOf: PartBuffers) {
    this.#device = device;
    this.#buffersOf = buffersOf;
  }

  /** Writes a piece of a tensor, from its byte `start`, to its place. */
  write({ weight, element }: Placement, tensor: CheckpointTensor, start: number, piece: Uint8Array): void {
    const dtype = tensor.dtype as FloatDtype;
    const size = elementBytes[weight.info.element];
    const bytes = convertFloats(piece, dtype, storedAs(weight.info.element));
    const offset = (element + start / dtypeBytes[dtype]) * size;
    if (fillsWords(weight.info)) this.#toDevice(weight, offset, bytes);
    else this.#stage(weight, offset, bytes);
  }

  #stage(weight: PackedWeight, offset: number, bytes: Uint8Array): void {
    const { rows, columns, element } = weight.info;
    let whole = this.#staged.get(weight);
    if (whole === undefined) {
      whole = new Uint8Array(Math.ceil((rows * columns * elementBytes[element]) / 4) * 4);
      this.#staged.set(weight, whole);
    }
    whole.set(bytes, offset);
  }

  #toDevice(weight: PackedWeight, offset: number, bytes: Uint8Array): void {
    const rowBytes = weight.info.columns * elementBytes[weight.info.element];
    for (const [index, part] of weight.parts.entries()) {
      const { from, to } = overlap(part, rowBytes, offset, offset + bytes.byteLength);
      if (from >= to) continue;
      const piece = bytes.subarray(from - offset, to - offset);
      const buffer = this.#buffersOf(weight)[index]!;
      this.#device.write(buffer, from - part.base * rowBytes, piece as Uint8Array<ArrayBuffer>);
      this.#queued += piece.byteLength;
    }
  }

  /** Waits when the queue holds much that the device has not taken: its copies live in host memory until then. */
  async keepPace(): Promise<void> {
    if (this.#queued < queuedBytes) return;
    this.#queued = 0;
    await this.#device.settled();
  }

  flush(): void {
    for (const [weight, bytes] of this.#staged) this.#toDevice(weight, 0, bytes);
    this.#staged.clear();
  }
}

/** The bytes of [start, end) of a packed weight that lie in a part; padding at the end of the last row may be among them. */
function overlap(part: WeightPart, rowBytes: number, start: number, end: number): { from: number; to: number } {
  return {
    from: Math.max(start, part.base * rowBytes),
    to: Math.min(end, part.base * rowBytes + part.bytes),
  };
}

/** Whether every source starts and ends on a multiple of four bytes of the packed weight, the unit of writes to a buffer. */
function fillsWords({ sources, columns, element }: WeightInfo): boolean {
  const size = elementBytes[element];
  return sources.every(
    ({ row, shape }) =>
      (row * columns * size) % 4 === 0 && (shape.reduce((product, d) => product * d, 1) * size) % 4 === 0,
  );
}
