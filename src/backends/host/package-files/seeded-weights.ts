/** Weights that anyone can make again: a checkpoint whose every element follows from a seed, the tensor's name and the element's index. */
import type { Checkpoint, CheckpointTensor } from "../../../runtime/checkpoint.js";
import type { Manifest } from "../../../runtime/manifest.js";
import { layersOf, tensorName } from "../../../runtime/packing.js";

export interface SeededTensor {
  readonly name: string;
  readonly shape: readonly number[];
}

/**
 * Elements of matrices are uniform with variance 1 / columns, so that activations keep their size from layer to layer; elements of
 * vectors lie between 0.5 and 1.5, where norms and biases are at home.
 */
export function seededElements(seed: number, { name, shape }: SeededTensor): Float32Array<ArrayBuffer> {
  const count = shape.reduce((product, size) => product * size, 1);
  const start = mix(seed ^ hashName(name));
  const matrix = shape.length > 1;
  const scale = matrix ? Math.sqrt(12 / shape.at(-1)!) : 1;
  const elements = new Float32Array(count);
  for (let index = 0; index < count; index++) {
    const uniform = mix(start ^ index) / 2 ** 32;
    elements[index] = matrix ? (uniform - 0.5) * scale : 0.5 + uniform;
  }
  return elements;
}

/** The tensors as a checkpoint of float32. */
export function seededCheckpoint(seed: number, tensors: Iterable<SeededTensor>): Checkpoint {
  const entries = new Map<string, CheckpointTensor>();
  for (const { name, shape } of tensors) {
    const byteLength = 4 * shape.reduce((product, size) => product * size, 1);
    entries.set(name, { name, shape, dtype: "F32", byteLength, shard: 0, offset: 0 });
  }
  return {
    tensors: entries,
    files: ["generated"],
    read: async (tensor, start = 0, length = tensor.byteLength - start) =>
      new Uint8Array(seededElements(seed, tensor).buffer, start, length),
    close: async () => {},
  };
}

/** The tensors that a manifest's weights are packed from. */
export function tensorsOf(manifest: Manifest): SeededTensor[] {
  const tensors = new Map<string, SeededTensor>();
  for (const info of manifest.weights) {
    for (const layer of layersOf(manifest, info)) {
      for (const { tensor, shape, zeros } of info.sources) {
        // Where a concatenation has a gap, there is no tensor.
        if (zeros) continue;
        const name = tensorName(tensor, layer);
        tensors.set(name, { name, shape });
      }
    }
  }
  return [...tensors.values()];
}

/** 32 bits that depend on every character. */
function hashName(name: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < name.length; at++) hash = Math.imul(hash ^ name.charCodeAt(at), 0x01000193);
  return hash >>> 0;
}

/** Spreads 32 bits over 32 bits, one to one. */
function mix(value: number): number {
  let bits = value >>> 0;
  bits = Math.imul(bits ^ (bits >>> 16), 0x21f0aaad);
  bits = Math.imul(bits ^ (bits >>> 15), 0x735a2d97);
  return (bits ^ (bits >>> 15)) >>> 0;
}
