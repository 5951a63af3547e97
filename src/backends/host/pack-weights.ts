/** Packs a checkpoint's tensors as a manifest lays them out. */
import { InternalError } from "../../diagnostics/diagnostic.js";
import type { Checkpoint } from "../../runtime/checkpoint.js";
import { convertFloats, type FloatDtype } from "../../runtime/dtype.js";
import { scatterFragments } from "../../runtime/fragments.js";
import type { Manifest, WeightInfo } from "../../runtime/manifest.js";
import {
  findMisfits,
  type PackedWeight,
  packedShape,
  planWeights,
  storedAs,
  tensorName,
} from "../../runtime/packing.js";
import { elementBytes } from "../../runtime/shape.js";

/** The file that holds all packed weights, in the order of the manifest and of the layers. */
export const packedFile = "weights/weights.bin";

/** Offsets are multiples of this, so that a loader may map weights where it likes. */
const alignment = 256;

export interface PackedPiece {
  readonly bytes: Uint8Array;
  /** Zeros to write after it. */
  readonly padding: number;
}

const unlimited = {
  maxBufferSize: Number.MAX_SAFE_INTEGER,
  maxStorageBufferBindingSize: Number.MAX_SAFE_INTEGER,
};

/**
 * Gives the packed weights to `write`, one by one and in file order, and returns the manifest with their places and hashes.
 *
 * Throws the first misfit of the checkpoint before anything is written.
 */
export async function packWeights(
  manifest: Manifest,
  checkpoint: Checkpoint,
  write: (piece: PackedPiece) => Promise<void>,
): Promise<Manifest> {
  const planned = planWeights(manifest, unlimited);
  const [misfit] = findMisfits(planned, checkpoint);
  if (misfit !== undefined) throw misfit;

  const packed = new Map<WeightInfo, NonNullable<WeightInfo["packed"]>[number][]>();
  let offset = 0;
  for (const weight of planned) {
    const bytes = await packOne(weight, checkpoint);
    const padding = (alignment - (bytes.byteLength % alignment)) % alignment;
    await write({ bytes, padding });
    const place = {
      ...(weight.layer === undefined ? {} : { layer: weight.layer }),
      file: packedFile,
      offset,
      bytes: bytes.byteLength,
      sha256: await sha256(bytes),
    };
    packed.set(weight.info, [...(packed.get(weight.info) ?? []), place]);
    offset += bytes.byteLength + padding;
  }
  return { ...manifest, weights: manifest.weights.map((info) => ({ ...info, packed: packed.get(info) ?? [] })) };
}

async function packOne({ info, layer }: PackedWeight, checkpoint: Checkpoint): Promise<Uint8Array<ArrayBuffer>> {
  const shape = packedShape(info);
  const bytes = new Uint8Array(shape.rows * shape.rowBytes);
  for (const { tensor, row, zeros } of info.sources) {
    const name = tensorName(tensor, layer);
    const source = checkpoint.tensors.get(name);
    if (source === undefined) {
      if (zeros) continue;
      throw new InternalError(`the misfit ${name} went unnoticed`);
    }
    const converted = convertFloats(await checkpoint.read(source), source.dtype as FloatDtype, storedAs(info.element));
    const first = row * info.columns;
    if (info.layout === "fragments") {
      const elements = new Uint16Array(converted.buffer, converted.byteOffset, converted.byteLength / 2);
      scatterFragments(new Uint16Array(bytes.buffer), elements, first, info.columns);
    } else {
      bytes.set(converted, first * elementBytes[info.element]);
    }
  }
  return bytes;
}

export async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
