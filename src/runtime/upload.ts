/**
 * Streams weights to the device: shard by shard, a large tensor in pieces, so that the host never holds more than a piece.
 */
import type { Checkpoint, CheckpointTensor, LoadProgress } from "./checkpoint.js";
import type { ComputeDevice, DeviceBuffer } from "./compute-device.js";
import { convertFloats, dtypeBytes, type FloatDtype } from "./dtype.js";
import { scatterFragments } from "./fragments.js";
import type { WeightInfo } from "./manifest.js";
import {
  findMisfits,
  type PackedWeight,
  type Placement,
  packedShape,
  placementsOf,
  storedAs,
  tensorName,
  type WeightPart,
} from "./packing.js";
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
  const writer = new WeightWriter(device, buffersOf, checkpoint);
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
  await device.settled();
}

class WeightWriter {
  readonly #device: ComputeDevice;
  readonly #buffersOf: PartBuffers;
  readonly #checkpoint: Checkpoint;
  /**
   * Weights that are put together on the host: fragments, and those with a source that begins or ends inside a word of four bytes (odd
   * vectors in 16 bits). They go to the device as soon as all of their elements are there.
   */
  readonly #staged = new Map<PackedWeight, StagedWeight>();
  #queued = 0;

  constructor(device: ComputeDevice, buffersOf: PartBuffers, checkpoint: Checkpoint) {
    this.#device = device;
    this.#buffersOf = buffersOf;
    this.#checkpoint = checkpoint;
  }

  /** Writes a piece of a tensor, from its byte `start`, to its place. */
  write({ weight, element }: Placement, tensor: CheckpointTensor, start: number, piece: Uint8Array): void {
    const dtype = tensor.dtype as FloatDtype;
    const size = elementBytes[weight.info.element];
    const bytes = convertFloats(piece, dtype, storedAs(weight.info.element));
    const first = element + start / dtypeBytes[dtype];
    if (fillsWords(weight.info)) this.#toDevice(weight, first * size, bytes);
    else this.#stage(weight, first, bytes);
  }

  /** Takes elements of a weight, from number `first` on. */
  #stage(weight: PackedWeight, first: number, bytes: Uint8Array): void {
    const { columns, element, layout } = weight.info;
    let staged = this.#staged.get(weight);
    if (staged === undefined) {
      const { rows, rowBytes } = packedShape(weight.info);
      staged = { bytes: new Uint8Array(Math.ceil((rows * rowBytes) / 4) * 4), missing: this.#elementsOf(weight) };
      this.#staged.set(weight, staged);
    }
    const size = elementBytes[element];
    if (layout === "fragments") scatterFragments(halvesOf(staged.bytes), halvesOf(bytes), first, columns);
    else staged.bytes.set(bytes, first * size);
    staged.missing -= bytes.byteLength / size;
    if (staged.missing > 0) return;
    this.#toDevice(weight, 0, staged.bytes);
    this.#staged.delete(weight);
  }

  /** Elements that the checkpoint has for a weight; the others are zeros. */
  #elementsOf({ info, layer }: PackedWeight): number {
    return info.sources
      .filter(({ tensor }) => this.#checkpoint.tensors.has(tensorName(tensor, layer)))
      .reduce((total, { shape }) => total + shape.reduce((product, size) => product * size, 1), 0);
  }

  #toDevice(weight: PackedWeight, offset: number, bytes: Uint8Array): void {
    const { rowBytes } = packedShape(weight.info);
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
}

interface StagedWeight {
  readonly bytes: Uint8Array<ArrayBuffer>;
  missing: number;
}

/** The same bytes as halves; copied where they do not begin on one. */
function halvesOf(bytes: Uint8Array): Uint16Array {
  const at = bytes.byteOffset % 2 === 0 ? bytes : new Uint8Array(bytes);
  return new Uint16Array(at.buffer, at.byteOffset, at.byteLength / 2);
}

/** The bytes of [start, end) of a packed weight that lie in a part; padding at the end of the last row may be among them. */
function overlap(part: WeightPart, rowBytes: number, start: number, end: number): { from: number; to: number } {
  return {
    from: Math.max(start, part.base * rowBytes),
    to: Math.min(end, part.base * rowBytes + part.bytes),
  };
}

/** Whether rows are written as they come: every source starts and ends on a multiple of four bytes of the packed weight, the unit of writes to a buffer. */
function fillsWords({ sources, columns, element, layout = "rows" }: WeightInfo): boolean {
  const size = elementBytes[element];
  return (
    layout === "rows" &&
    sources.every(
      ({ row, shape }) =>
        (row * columns * size) % 4 === 0 && (shape.reduce((product, d) => product * d, 1) * size) % 4 === 0,
    )
  );
}
