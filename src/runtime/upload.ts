/**
 * Streams weights to the device: shard by shard, a large tensor in pieces, so that the host never holds more than a piece.
 */
import type { Checkpoint, CheckpointTensor, LoadProgress } from "./checkpoint.js";
import type { ComputeDevice, DeviceBuffer } from "./compute-device.js";
import type { FloatDtype } from "./dtype.js";
import { RowEncoder } from "./encode-rows.js";
import { scatterFragments } from "./fragments.js";
import type { WeightInfo } from "./manifest.js";
import {
  bytesOfRow,
  findMisfits,
  type PackedWeight,
  type Placement,
  packedShape,
  placementsOf,
  sourceOf,
  tensorName,
  type WeightPart,
} from "./packing.js";

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

  const placements = placementsOf(weights, checkpoint);
  const writer = new WeightWriter(device, buffersOf, checkpoint);
  const wanted = [...checkpoint.tensors.values()].filter(({ name }) => placements.has(name));
  const totalBytes = wanted.reduce((total, { byteLength }) => total + byteLength, 0);
  let bytes = 0;
  for (const tensor of wanted) {
    const places = placements.get(tensor.name)!;
    const most = mostOfPiece(tensor, places);
    for (let start = 0; start < tensor.byteLength; start += most) {
      signal?.throwIfAborted();
      const piece = await checkpoint.read(tensor, start, Math.min(most, tensor.byteLength - start));
      for (const placement of places) writer.write(placement, tensor, start, piece);
      bytes += piece.byteLength;
      onProgress?.({ bytes, totalBytes, tensor: tensor.name });
      await writer.keepPace();
    }
  }
  await device.settled();
}

/**
 * Bytes of a tensor that are read at a time: whole rows where they are quantised, four at least so that what they become fills words
 * of four bytes.
 */
function mostOfPiece({ shape, byteLength }: CheckpointTensor, placements: readonly Placement[]): number {
  if (placements.every(({ weight, stored }) => stored || weight.info.quantised === undefined)) return pieceBytes;
  const fewest = 4 * (byteLength / shape[0]!);
  return Math.max(1, Math.floor(pieceBytes / fewest)) * fewest;
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
  readonly #encoder = new RowEncoder();
  #queued = 0;

  constructor(device: ComputeDevice, buffersOf: PartBuffers, checkpoint: Checkpoint) {
    this.#device = device;
    this.#buffersOf = buffersOf;
    this.#checkpoint = checkpoint;
  }

  /** Writes a piece of a tensor, from its byte `start`, to its place. */
  write(placement: Placement, tensor: CheckpointTensor, start: number, piece: Uint8Array): void {
    const { weight, row, stored } = placement;
    const bytes = stored ? piece : this.#encoder.encode(weight.info, tensor.dtype as FloatDtype, piece);
    const rowBytes = bytesOfRow(weight.info);
    const sourceBytes = tensor.byteLength / tensor.shape[0]!;
    // A piece that begins inside a row begins as far into the row that it becomes.
    const inRow = ((start % sourceBytes) * rowBytes) / sourceBytes;
    const offset = (row + Math.floor(start / sourceBytes)) * rowBytes + inRow;
    if (fillsWords(weight.info)) this.#toDevice(weight, offset, bytes);
    else this.#stage(weight, offset, bytes);
  }

  /** Takes bytes of a weight's rows, from number `offset` on. */
  #stage(weight: PackedWeight, offset: number, bytes: Uint8Array): void {
    let staged = this.#staged.get(weight);
    if (staged === undefined) {
      const { rows, rowBytes } = packedShape(weight.info);
      staged = { bytes: new Uint8Array(Math.ceil((rows * rowBytes) / 4) * 4), missing: this.#bytesOf(weight) };
      this.#staged.set(weight, staged);
    }
    if (weight.info.layout === "fragments") scatterFragments(weight.info, staged.bytes, bytes, offset);
    else staged.bytes.set(bytes, offset);
    staged.missing -= bytes.byteLength;
    if (staged.missing > 0) return;
    this.#toDevice(weight, 0, staged.bytes);
    this.#staged.delete(weight);
  }

  /** Bytes of a weight's rows that the checkpoint has something for; the others are zeros. */
  #bytesOf({ info, layer }: PackedWeight): number {
    const { tensors } = this.#checkpoint;
    return info.sources
      .filter(({ tensor }) => tensors.has(sourceOf(info, tensorName(tensor, layer), this.#checkpoint).name))
      .reduce((total, { shape }) => total + shape[0]! * bytesOfRow(info), 0);
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

/** The bytes of [start, end) of a packed weight that lie in a part; padding at the end of the last row may be among them. */
function overlap(part: WeightPart, rowBytes: number, start: number, end: number): { from: number; to: number } {
  return {
    from: Math.max(start, part.base * rowBytes),
    to: Math.min(end, part.base * rowBytes + part.bytes),
  };
}

/**
 * Whether rows are written as they come: every source starts and ends on a multiple of four bytes of the packed weight, the unit of
 * writes to a buffer.
 */
function fillsWords(info: WeightInfo): boolean {
  const rowBytes = bytesOfRow(info);
  return (
    info.layout !== "fragments" &&
    info.sources.every(({ row, shape }) => (row * rowBytes) % 4 === 0 && (shape[0]! * rowBytes) % 4 === 0)
  );
}
