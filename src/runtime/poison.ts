/**
 * Poison for debugging: memory that nobody may read is filled with a huge value, so that a kernel that reads it nevertheless, or a
 * retention that frees too early, shows in the logits.
 *
 * Not NaN: a masked key has weight zero, and zero times a huge number is zero, as it is for whatever stands in the slot otherwise.
 */
import { bufferUsage, type Device } from "./device.js";
import { evaluate } from "./expr.js";
import type { KeyStore, Manifest } from "./manifest.js";
import { elementBytes, type SessionShape, storeName, storesOf } from "./shape.js";

/** 1e30 as a float; about 10,800 and -13,900 as a pair of halves. */
const poisonWord = 0x7149f2ca;
const blockBytes = 1 << 18;

export class Poison {
  readonly #manifest: Manifest;
  readonly #shape: SessionShape;
  readonly #buffers: ReadonlyMap<string, GPUBuffer>;
  readonly #block: GPUBuffer;
  /** Bytes per row of each slot of working buffers; where buffers share a slot, of the narrowest of them. */
  readonly #rowBytes: ReadonlyMap<string, number>;

  constructor(device: Device, manifest: Manifest, shape: SessionShape, buffers: ReadonlyMap<string, GPUBuffer>) {
    this.#manifest = manifest;
    this.#shape = shape;
    this.#buffers = buffers;
    this.#rowBytes = narrowestRows(manifest, shape);
    this.#block = device.gpu.createBuffer({
      label: "poison",
      size: blockBytes,
      usage: bufferUsage.copySource | bufferUsage.copyTarget,
    });
    device.queue.writeBuffer(this.#block, 0, new Uint32Array(blockBytes / 4).fill(poisonWord));
  }

  /** All caches, before anything is written. */
  fillCaches(encoder: GPUCommandEncoder): void {
    for (const { name, purpose } of this.#shape.buffers) if (purpose === "cache") this.#fill(encoder, name);
  }

  /** Everything that a phase must write before it reads it: activations, prefill's scratch, the keys of a step. */
  beforePhase(encoder: GPUCommandEncoder): void {
    for (const { name, purpose } of this.#shape.buffers) {
      if (purpose === "working" || purpose === "scratch") this.#fill(encoder, name);
    }
  }

  /** The rows before a given one, in every working buffer that has rows, where the phase needs them no more. */
  giveUpRows(encoder: GPUCommandEncoder, before: number): void {
    for (const [slot, bytesPerRow] of this.#rowBytes) {
      this.#fillRange(encoder, this.#buffers.get(slot)!, 0, before * bytesPerRow);
    }
  }

  /** The slots of keys that no later step may read, given how many positions each sequence has. */
  afterPhase(encoder: GPUCommandEncoder, lengths: readonly number[]): void {
    for (let layer = 0; layer < this.#manifest.model.layers; layer++) {
      for (const [group, store] of storesOf(this.#manifest, layer).entries()) {
        if (store.layout === "ring") this.#fillDeadSlots(encoder, layer, group, store, lengths);
      }
    }
  }

  destroy(): void {
    this.#block.destroy();
  }

  #fillDeadSlots(
    encoder: GPUCommandEncoder,
    layer: number,
    group: number,
    store: KeyStore,
    lengths: readonly number[],
  ): void {
    const { firstCopy, lastCopy } = this.#manifest.groups[group]!;
    const copies = lastCopy - firstCopy + 1;
    const slots = evaluate(store.slots, this.#shape.symbols);
    const keyBytes = store.kvWidth * elementBytes[store.element];
    const buffer = this.#buffers.get(storeName(layer, store.group))!;
    const batch = lengths.length;
    for (const [sequence, length] of lengths.entries()) {
      const live = liveSlots(store, slots, length, copies);
      for (const half of [0, 1]) {
        for (let slot = 0; slot < slots; slot++) {
          if (live.has(slot)) continue;
          const at = ((half * batch + sequence) * slots + slot) * keyBytes;
          this.#fillRange(encoder, buffer, at, keyBytes);
        }
      }
    }
  }

  #fill(encoder: GPUCommandEncoder, name: string): void {
    const buffer = this.#buffers.get(name);
    if (buffer !== undefined) this.#fillRange(encoder, buffer, 0, buffer.size);
  }

  #fillRange(encoder: GPUCommandEncoder, buffer: GPUBuffer, offset: number, bytes: number): void {
    for (let at = 0; at < bytes; at += blockBytes) {
      encoder.copyBufferToBuffer(this.#block, 0, buffer, offset + at, Math.min(blockBytes, bytes - at));
    }
  }
}

/** A buffer has rows when its length grows with theirs. */
function narrowestRows({ buffers }: Manifest, { symbols }: SessionShape): ReadonlyMap<string, number> {
  const narrowest = new Map<string, number>();
  for (const { slot, length, element } of buffers) {
    const [one, two] = [1, 2].map((rows) => evaluate(length, { ...symbols, max_rows: rows }));
    const bytes = (two! - one!) * elementBytes[element];
    narrowest.set(slot, Math.min(bytes, narrowest.get(slot) ?? bytes));
  }
  return narrowest;
}

/** Slots of a ring whose keys a step after `length` positions may read. `slots` as the store has, `copies` as its group has. */
export function liveSlots(
  { keep, chunk }: KeyStore,
  slots: number,
  length: number,
  copies: number,
): ReadonlySet<number> {
  const end = length * copies;
  // The next query stands at position `length`; keys before its chunk are dead.
  const chunkStart = chunk === undefined ? 0 : Math.floor(length / chunk) * chunk * copies;
  const live = new Set<number>();
  for (let key = Math.max(0, end - keep, chunkStart); key < end; key++) live.add(key % slots);
  return live;
}
