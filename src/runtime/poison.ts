/**
 * Poison for debugging: memory that nobody may read is filled with a huge value, so that a kernel that reads it nevertheless, or a
 * retention that frees too early, shows in the logits.
 *
 * Not NaN: a masked key has weight zero, and zero times a huge number is zero, as it is for whatever stands in the slot otherwise.
 */
import type { Command, ComputeDevice, DeviceBuffer, Recording } from "./compute-device.js";
import { evaluate } from "./expr.js";
import { copiesIn } from "./key-group.js";
import type { KeyStore, Manifest } from "./manifest.js";
import { elementBytes, type SessionShape, storeName, storesOf } from "./shape.js";

/** 1e30 as a float; about 10,800 and -13,900 as a pair of halves. */
const poisonWord = 0x7149f2ca;
const blockBytes = 1 << 18;

export class Poison {
  readonly #manifest: Manifest;
  readonly #shape: SessionShape;
  readonly #buffers: ReadonlyMap<string, DeviceBuffer>;
  readonly #block: DeviceBuffer;
  /** Bytes per row of each slot of working buffers; where buffers share a slot, of the narrowest of them. */
  readonly #rowBytes: ReadonlyMap<string, number>;

  static async open(
    device: ComputeDevice,
    manifest: Manifest,
    shape: SessionShape,
    buffers: ReadonlyMap<string, DeviceBuffer>,
  ): Promise<Poison> {
    const name = "poison";
    const block = (await device.allocate([{ name, purpose: "working", bytes: blockBytes }])).get(name)!;
    device.write(block, 0, new Uint32Array(blockBytes / 4).fill(poisonWord));
    return new Poison(manifest, shape, buffers, block);
  }

  private constructor(
    manifest: Manifest,
    shape: SessionShape,
    buffers: ReadonlyMap<string, DeviceBuffer>,
    block: DeviceBuffer,
  ) {
    this.#manifest = manifest;
    this.#shape = shape;
    this.#buffers = buffers;
    this.#rowBytes = narrowestRows(manifest, shape);
    this.#block = block;
  }

  /** Fills all caches, before anything is written. */
  fillCaches(): Command[] {
    return this.#shape.buffers.flatMap(({ name, purpose }) => (purpose === "cache" ? this.#fill(name) : []));
  }

  /** Runs recordings that make up a phase, and poisons around and within it what nobody may read. */
  phase(recordings: readonly Recording[], lengths: readonly number[]): Command[] {
    return [...this.#beforePhase(), ...this.#runs(recordings), ...this.#afterPhase(lengths)];
  }

  destroy(): void {
    this.#block.destroy();
  }

  /** Everything that a phase must write before it reads it: activations, prefill's scratch, the keys of a step. */
  #beforePhase(): Command[] {
    return this.#shape.buffers.flatMap(({ name, purpose }) =>
      purpose === "working" || purpose === "scratch" ? this.#fill(name) : [],
    );
  }

  /** The recordings' calls; where rows before a given one are needed no more, they are given up. */
  #runs(recordings: readonly Recording[]): Command[] {
    const commands: Command[] = [];
    let firstRow = 0;
    for (const recording of recordings) {
      let from = 0;
      for (const [at, call] of recording.calls.entries()) {
        if (call.firstRow <= firstRow) continue;
        commands.push({ kind: "run", recording, from, to: at }, ...this.#giveUpRows(call.firstRow));
        firstRow = call.firstRow;
        from = at;
      }
      commands.push({ kind: "run", recording, from, to: recording.calls.length });
    }
    return commands;
  }

  /** The rows before a given one, in every working buffer that has rows. */
  #giveUpRows(before: number): Command[] {
    return [...this.#rowBytes].flatMap(([slot, bytesPerRow]) =>
      this.#fillRange(this.#buffers.get(slot)!, 0, before * bytesPerRow),
    );
  }

  /** The slots of keys that no later step may read, given how many positions each sequence has. */
  #afterPhase(lengths: readonly number[]): Command[] {
    const commands: Command[] = [];
    for (let layer = 0; layer < this.#manifest.model.layers; layer++) {
      for (const [group, store] of storesOf(this.#manifest, layer).entries()) {
        if (store.layout === "ring") commands.push(...this.#fillDeadSlots(layer, group, store, lengths));
      }
    }
    return commands;
  }

  #fillDeadSlots(layer: number, group: number, store: KeyStore, lengths: readonly number[]): Command[] {
    const commands: Command[] = [];
    const copies = copiesIn(this.#manifest.groups[group]!);
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
          commands.push(...this.#fillRange(buffer, at, keyBytes));
        }
      }
    }
    return commands;
  }

  #fill(name: string): Command[] {
    const buffer = this.#buffers.get(name);
    return buffer === undefined ? [] : this.#fillRange(buffer, 0, buffer.size);
  }

  /** The words that lie in a range as a whole: devices copy nothing smaller, and keys in halves may begin and end within one. */
  #fillRange(target: DeviceBuffer, offset: number, bytes: number): Command[] {
    const commands: Command[] = [];
    const first = Math.ceil(offset / 4) * 4;
    const end = Math.floor((offset + bytes) / 4) * 4;
    for (let at = first; at < end; at += blockBytes) {
      commands.push({ kind: "copy", source: this.#block, target, offset: at, bytes: Math.min(blockBytes, end - at) });
    }
    return commands;
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
