/** Packs a checkpoint's tensors as a manifest lays them out. */
import { InternalError } from "../../diagnostics/diagnostic.js";
import type { Checkpoint } from "../../runtime/checkpoint.js";
import type { FloatDtype } from "../../runtime/dtype.js";
import { RowEncoder } from "../../runtime/encode-rows.js";
import { scatterFragments } from "../../runtime/fragments.js";
import type { Manifest, WeightInfo } from "../../runtime/manifest.js";
import {
  bytesOfRow,
  findMisfits,
  type PackedWeight,
  packedShape,
  planWeights,
  tensorName,
} from "../../runtime/packing.js";
import { unlimitedSizes } from "../../runtime/shape.js";

/** The file that holds all packed weights, in the order of the manifest and of the layers; values and their scales side by side. */
export const packedFile = "weights/weights.bin";

/** Offsets are multiples of this, so that a loader may map weights where it likes. */
const alignment = 256;

export interface PackedPiece {
  readonly bytes: Uint8Array;
  /** Zeros to write after it. */
  readonly padding: number;
}

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
  const planned = planWeights(manifest, unlimitedSizes);
  const [misfit] = findMisfits(planned, checkpoint);
  if (misfit !== undefined) throw misfit;

  const packed = new Map<WeightInfo, NonNullable<WeightInfo["packed"]>[number][]>();
  let offset = 0;
  for (const weights of sharingSources(planned)) {
    for (const { weight, bytes } of await packTogether(weights, checkpoint)) {
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
  }
  return { ...manifest, weights: manifest.weights.map((info) => ({ ...info, packed: packed.get(info) ?? [] })) };
}

/** Weights of the same tensors, in the order of the first of them. */
function sharingSources(weights: readonly PackedWeight[]): Iterable<readonly PackedWeight[]> {
  const groups = new Map<string, PackedWeight[]>();
  for (const weight of weights) {
    const key = JSON.stringify([weight.layer, weight.info.sources]);
    groups.set(key, [...(groups.get(key) ?? []), weight]);
  }
  return groups.values();
}

interface Packed {
  readonly weight: PackedWeight;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Packs weights of the same tensors, each of which is read once. */
async function packTogether(weights: readonly PackedWeight[], checkpoint: Checkpoint): Promise<readonly Packed[]> {
  const encoder = new RowEncoder();
  const all = weights.map((weight): Packed => {
    const { rows, rowBytes } = packedShape(weight.info);
    return { weight, bytes: new Uint8Array(rows * rowBytes) };
  });
  const [{ info, layer }] = weights as [PackedWeight];
  for (const { tensor, row, zeros } of info.sources) {
    const name = tensorName(tensor, layer);
    const source = checkpoint.tensors.get(name);
    if (source === undefined) {
      if (zeros) continue;
      throw new InternalError(`the misfit ${name} went unnoticed`);
    }
    const floats = await checkpoint.read(source);
    for (const { weight, bytes } of all) {
      place(weight.info, row, encoder.encode(weight.info, source.dtype as FloatDtype, floats), bytes);
    }
  }
  return all;
}

/** Puts encoded rows to their place in a packed weight. */
function place(info: WeightInfo, row: number, rows: Uint8Array, packed: Uint8Array<ArrayBuffer>): void {
  const offset = row * bytesOfRow(info);
  if (info.layout === "fragments") scatterFragments(info, packed, rows, offset);
  else packed.set(rows, offset);
}

export async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
