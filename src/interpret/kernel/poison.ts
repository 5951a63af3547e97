/**
 * Poison for runs on the kernel interpreter: at every moment, all memory that nothing may read any more, or yet, holds a huge value.
 *
 * The run time poisons between phases (its own poison.ts); here it is done between layers too: the rows that nobody demands from this
 * layer on, and every buffer that the layer writes before it reads it.
 */
import type { Kernel } from "../../ir/kernel/kernel.js";
import { eachExpressionIn, eachStatement } from "../../ir/kernel/walk.js";
import { evaluate } from "../../runtime/expr.js";
import type { BufferInfo, KeyStore, Manifest, Step } from "../../runtime/manifest.js";
import { liveSlots } from "../../runtime/poison.js";
import type { RowTable } from "../../runtime/rows.js";
import { elementBytes, type PlannedBuffer, type SessionShape, storeName, storesOf } from "../../runtime/shape.js";

/** The bytes of a buffer of the session. */
export type MemoryOf = (name: string) => ArrayBuffer;

export class Poison {
  /** Working buffers that hold something at the start of a layer, or of the head. */
  private readonly carried: readonly BufferInfo[];

  constructor(
    private readonly manifest: Manifest,
    kernels: ReadonlyMap<string, Kernel>,
    private readonly shape: SessionShape,
    private readonly memory: MemoryOf,
    private readonly value: number,
  ) {
    const { prefill, decode } = manifest.phases;
    const blocks = [...prefill.layer, prefill.after, ...decode.layer, decode.after];
    const names = new Set(blocks.flatMap((steps) => [...readBeforeWritten(steps, kernels)]));
    this.carried = manifest.buffers.filter(({ name }) => names.has(name));
  }

  /** Before anything is written. */
  fillCaches(): void {
    this.fillAll("cache", "scratch");
  }

  beforePhase(): void {
    this.fillAll("working", "scratch");
  }

  /** At the start of a layer; of the head, when `layer` is how many layers there are. */
  beforeLayer(layer: number, table: RowTable): void {
    this.fillAll("scratch");
    const firstRow = layer < this.manifest.model.layers ? table.input(layer).base : table.output.base;
    const carriedSlots = new Set(this.carried.map(({ slot }) => slot));
    for (const { name, purpose } of this.shape.buffers) {
      if (purpose === "working" && !carriedSlots.has(name)) this.fill(name);
    }
    for (const buffer of this.carried) {
      const bytes = elementBytes[buffer.element] * this.rowWidth(buffer);
      if (bytes > 0) this.fill(buffer.slot, 0, firstRow * bytes);
    }
  }

  /** The slots of keys that no later step may read, given how many positions each sequence has. */
  afterPhase(lengths: readonly number[]): void {
    for (const [sequence, length] of lengths.entries()) {
      this.fillStores(sequence, lengths.length, (store, slots, copies) =>
        store.layout === "ring" ? liveSlots(store, slots, length, copies) : undefined,
      );
    }
  }

  /** What a sequence of a batch loses when it is cut back: its rings, and everything behind its end. */
  afterCut(sequence: number, length: number): void {
    this.fillStores(sequence, this.shape.batch, (store, _slots, copies) => {
      if (store.layout === "ring") return new Set();
      return new Set(Array.from({ length: length * copies }, (_, slot) => slot));
    });
  }

  /** Poisons the slots of a sequence that are not live; undefined: all of them are. */
  private fillStores(
    sequence: number,
    batch: number,
    liveIn: (store: KeyStore, slots: number, copies: number) => ReadonlySet<number> | undefined,
  ): void {
    const { manifest, shape } = this;
    for (let layer = 0; layer < manifest.model.layers; layer++) {
      for (const [group, store] of storesOf(manifest, layer).entries()) {
        if (store.layout !== "ring" && store.layout !== "forever") continue;
        const { firstCopy, lastCopy } = manifest.groups[group]!;
        const slots = evaluate(store.slots, shape.symbols);
        const live = liveIn(store, slots, lastCopy - firstCopy + 1);
        if (live === undefined) continue;
        const keyBytes = store.kvWidth * elementBytes[store.element];
        for (let at = 0; at < 2 * slots; at++) {
          const [half, slot] = [Math.floor(at / slots), at % slots];
          const place = (half * batch + sequence) * slots + slot;
          if (!live.has(slot)) this.fill(storeName(layer, store.group), place * keyBytes, keyBytes);
        }
      }
    }
  }

  /** Elements of a row; 0 for buffers that are not about rows of the table. */
  private rowWidth({ length }: BufferInfo): number {
    const { symbols } = this.shape;
    const longer = { ...symbols, max_rows: symbols["max_rows"]! + 1 };
    return evaluate(length, longer) - evaluate(length, symbols);
  }

  private fillAll(...purposes: PlannedBuffer["purpose"][]): void {
    for (const { name, purpose } of this.shape.buffers) if (purposes.includes(purpose)) this.fill(name);
  }

  /** Keys in halves may begin and end within a word. */
  private fill(name: string, offset = 0, bytes?: number): void {
    const memory = this.memory(name);
    const halves = new Uint16Array(memory, offset, Math.floor((bytes ?? memory.byteLength - offset) / 2));
    const ofValue = new Uint16Array(Float32Array.of(this.value).buffer);
    for (let at = 0; at < halves.length; at++) halves[at] = ofValue[(offset / 2 + at) % 2]!;
  }
}

/** Buffers that some step reads and no step before it surely writes. */
function readBeforeWritten(steps: readonly Step[], kernels: ReadonlyMap<string, Kernel>): ReadonlySet<string> {
  const written = new Set<string>();
  const found = new Set<string>();
  for (const { choices, bindings, when } of steps) {
    for (const choice of choices) {
      for (const name of buffersLoaded(kernels.get(choice.kernel)!)) {
        const source = bindings[name]!;
        if (source.kind === "buffer" && !written.has(source.name)) found.add(source.name);
      }
    }
    // A step that may be left out writes nothing for sure.
    if (when !== undefined) continue;
    for (const { name, access } of kernels.get(choices[0]!.kernel)!.buffers) {
      const source = bindings[name]!;
      if (source.kind === "buffer" && access === "read_write") written.add(source.name);
    }
  }
  return found;
}

function buffersLoaded({ body }: Kernel): ReadonlySet<string> {
  const loaded = new Set<string>();
  eachExpressionIn(body, (expression) => {
    if (expression.kind === "load" && expression.space === "buffer") loaded.add(expression.name);
  });
  eachStatement(body, (statement) => {
    if (statement.kind === "async-copy") loaded.add(statement.buffer);
  });
  return loaded;
}
