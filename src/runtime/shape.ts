/**
 * How large a session is: the values of its symbols and every buffer it needs, known before anything is allocated.
 */
import { type ControlLayout, layOutControl } from "./control.js";
import { ManifestError, OutOfMemory, RequestError } from "./errors.js";
import { evaluate } from "./expr.js";
import { copiesIn } from "./key-group.js";
import type { Element, KeyStore, Manifest } from "./manifest.js";
import { countRows, type RowModel } from "./rows.js";

export interface SessionOptions {
  /** Sequences that run side by side; 1 when left out. */
  readonly batch?: number;
  /** Positions that a sequence may grow to. */
  readonly context: number;
  /** Most positions of one prefill slice; as many as the device's limits allow, up to 512, when left out. */
  readonly slice?: number;
  /** In how many parts decode attention splits the keys; from the context when left out. */
  readonly splits?: number;
  /** Bytes that may be used, weights included; unlimited when left out, as WebGPU does not tell. */
  readonly memory?: number;
}

/** The limits that decide what fits. */
export interface SizeLimits {
  readonly maxBufferSize: number;
  readonly maxStorageBufferBindingSize: number;
}

/** Where weights are planned for no device: whether one has room is found out when there is one. */
export const unlimitedSizes: SizeLimits = {
  maxBufferSize: Number.MAX_SAFE_INTEGER,
  maxStorageBufferBindingSize: Number.MAX_SAFE_INTEGER,
};

export type BufferPurpose = "cache" | "scratch" | "working" | "table" | "control";

/** A buffer to allocate. */
export interface PlannedBuffer {
  readonly name: string;
  readonly purpose: BufferPurpose;
  /** A multiple of 16, so that a kernel may see it in vectors of four. */
  readonly bytes: number;
}

export interface SessionShape {
  readonly batch: number;
  readonly context: number;
  readonly slice: number;
  readonly maxRows: number;
  /** Values of the session's symbols and constants. */
  readonly symbols: Readonly<Record<string, number>>;
  readonly control: { readonly prefill: ControlLayout; readonly decode: ControlLayout };
  /** Slots per sequence of each group's prefill scratch; 0 where prefill works on the stores themselves. */
  readonly scratchSlots: readonly number[];
  readonly buffers: readonly PlannedBuffer[];
}

export const elementBytes: Readonly<Record<Element, number>> = { f32: 4, f16: 2, bf16: 2, i32: 4, u32: 4 };

const longestSlice = 512;
/** Keys that one workgroup of decode attention takes where the manifest's constants have no `keys_per_split`. */
const usualKeysPerSplit = 256;
const mostSplits = 32;

export const storeName = (layer: number, group: string) => `keys of ${group} in layer ${layer}`;
export const stepStoreName = (group: string) => `keys of ${group} within a step`;
export const scratchName = (group: string) => `keys of ${group} in prefill`;

export function rowModel(manifest: Manifest): RowModel {
  const { groups, rows, model } = manifest;
  return { groups, rules: rows, layers: model.layers, predictCopy: model.predictCopy };
}

/** The stores of a layer, one per group. */
export function storesOf(manifest: Manifest, layer: number): readonly KeyStore[] {
  return manifest.stores.distinct[manifest.stores.layers[layer]!]!;
}

/**
 * The shape of a session. A slice that was not asked for shrinks until no buffer exceeds the limits; what exceeds them
 * nevertheless is an OutOfMemory error with the figures.
 */
export function shapeSession(manifest: Manifest, options: SessionOptions, limits: SizeLimits): SessionShape {
  const { batch = 1, context } = options;
  for (const [name, value] of Object.entries({
    batch,
    context,
    slice: options.slice ?? 1,
    splits: options.splits ?? 1,
  })) {
    assertInRange(manifest, name, value);
  }
  const model = rowModel(manifest);
  for (let slice = Math.min(options.slice ?? longestSlice, context); ; slice = Math.ceil(slice / 2)) {
    const shape = shapeOf(manifest, model, { ...options, batch, context, slice });
    const offender = shape.buffers.find(
      ({ bytes }) => bytes > Math.min(limits.maxBufferSize, limits.maxStorageBufferBindingSize),
    );
    if (offender === undefined) return shape;
    const shrinkable =
      options.slice === undefined && slice > 1 && offender.purpose !== "cache" && offender.purpose !== "table";
    if (!shrinkable) throw tooLarge(offender, limits, { batch, context, slice });
  }
}

function assertInRange(manifest: Manifest, name: string, value: number): void {
  const { min, max } = manifest.symbols.find((symbol) => symbol.name === name) ?? { min: 1, max: undefined };
  if (Number.isSafeInteger(value) && value >= min && value <= (max ?? Number.MAX_SAFE_INTEGER)) return;
  throw new RequestError(
    `${name} is ${value}, which must be a whole number from ${min}${max === undefined ? "" : ` to ${max}`}`,
    {
      details: { name, value, min, ...(max === undefined ? {} : { max }) },
    },
  );
}

function tooLarge(buffer: PlannedBuffer, limits: SizeLimits, asked: Record<string, number>): OutOfMemory {
  const limit = Math.min(limits.maxBufferSize, limits.maxStorageBufferBindingSize);
  return new OutOfMemory(`${buffer.name} needs ${buffer.bytes} bytes in one buffer and the device allows ${limit}`, {
    details: { buffer: buffer.name, bytes: buffer.bytes, limit, ...asked },
    hint: "Open the session with a smaller context, batch or slice.",
  });
}

function shapeOf(
  manifest: Manifest,
  model: RowModel,
  options: SessionOptions & { readonly batch: number; readonly context: number; readonly slice: number },
): SessionShape {
  const { batch, context, slice } = options;
  const { groups, rows } = manifest;
  const copies = rows.decode.order.length;
  const maxRows = batch * Math.max(copies, countRows(model, 0, slice));
  const usualSplits = Math.min(
    mostSplits,
    Math.ceil(context / (manifest.constants["keys_per_split"] ?? usualKeysPerSplit)),
  );
  const splits = options.splits ?? clampToSymbol(manifest, "splits", usualSplits);
  const symbols = { ...manifest.constants, batch, context, slice, splits, max_rows: maxRows };

  const scratchSlots = groups.map((_, group) => slotsOfScratch(manifest, group, context, slice));
  const control = {
    prefill: layOutControl(batch, groups.length, maxRows, mostPrefillTiles(manifest, batch, maxRows)),
    decode: layOutControl(batch, groups.length, batch * copies, mostDecodeTiles(manifest, batch)),
  };
  return {
    batch,
    context,
    slice,
    maxRows,
    symbols,
    control,
    scratchSlots,
    buffers: [
      ...storeBuffers(manifest, symbols, batch),
      ...scratchBuffers(manifest, scratchSlots, batch),
      ...workingBuffers(manifest, symbols),
      ...manifest.tables.map(({ name, rows, frequencies }) =>
        planned(name, "table", evaluate(rows, symbols) * frequencies.length * 2 * 4),
      ),
      planned("control of prefill", "control", control.prefill.words * 4),
      planned("control of decode", "control", control.decode.words * 4),
    ],
  };
}

function clampToSymbol(manifest: Manifest, name: string, value: number): number {
  const symbol = manifest.symbols.find((info) => info.name === name);
  return symbol === undefined ? value : Math.max(symbol.min, Math.min(value, symbol.max ?? value));
}

function planned(name: string, purpose: BufferPurpose, bytes: number): PlannedBuffer {
  if (!Number.isSafeInteger(bytes) || bytes < 0)
    throw new ManifestError(name, `a buffer of ${bytes} bytes makes no sense`);
  return { name, purpose, bytes: roundUp(Math.max(bytes, 1)) };
}

/** To a multiple of 16 bytes. */
export function roundUp(bytes: number): number {
  return Math.ceil(bytes / 16) * 16;
}

const copiesOf = (manifest: Manifest, group: number) => copiesIn(manifest.groups[group]!);

const usesScratch = ({ layout }: KeyStore) => layout === "ring" || layout === "step";

/**
 * Slots of a group's prefill scratch: the keys that rings hand over, and those of the slice. Where the group is kept for ever in some
 * layers, indices start at 0 in all of them (a sequence has one base for all layers), so the scratch spans the context.
 */
function slotsOfScratch(manifest: Manifest, group: number, context: number, slice: number): number {
  const stores = manifest.stores.distinct.map((ofLayer) => ofLayer[group]!);
  if (!stores.some(usesScratch)) return 0;
  const copies = copiesOf(manifest, group);
  if (stores.some(({ layout }) => layout === "forever")) return context * copies;
  return Math.max(...stores.map(({ keep }) => keep)) + slice * copies;
}

/** The index of the key in slot 0 of a group's scratch for a slice that starts at position `start`. */
export function scratchBase(manifest: Manifest, group: number, start: number): number {
  const stores = manifest.stores.distinct.map((ofLayer) => ofLayer[group]!);
  if (!stores.some(usesScratch) || stores.some(({ layout }) => layout === "forever")) return 0;
  return Math.max(0, start * copiesOf(manifest, group) - Math.max(...stores.map(({ keep }) => keep)));
}

function keyBytes(store: KeyStore, slots: number, batch: number): number {
  return 2 * batch * slots * store.kvWidth * elementBytes[store.element];
}

function storeBuffers(manifest: Manifest, symbols: Readonly<Record<string, number>>, batch: number): PlannedBuffer[] {
  const buffers: PlannedBuffer[] = [];
  const withinStep = new Map<string, number>();
  for (let layer = 0; layer < manifest.model.layers; layer++) {
    for (const store of storesOf(manifest, layer)) {
      if (store.layout === "unread") continue;
      const bytes = keyBytes(store, evaluate(store.slots, symbols), batch);
      const name = stepStoreName(store.group);
      if (store.layout === "step") withinStep.set(name, Math.max(bytes, withinStep.get(name) ?? 0));
      else buffers.push(planned(storeName(layer, store.group), "cache", bytes));
    }
  }
  return [...buffers, ...[...withinStep].map(([name, bytes]) => planned(name, "scratch", bytes))];
}

function scratchBuffers(manifest: Manifest, slots: readonly number[], batch: number): PlannedBuffer[] {
  return manifest.groups.flatMap(({ name }, group) => {
    const stores = manifest.stores.distinct.map((ofLayer) => ofLayer[group]!).filter(usesScratch);
    const bytes = Math.max(0, ...stores.map((store) => keyBytes(store, slots[group]!, batch)));
    return bytes === 0 ? [] : [planned(scratchName(name), "scratch", bytes)];
  });
}

/** One allocation per slot, as large as the largest buffer in it. */
function workingBuffers(manifest: Manifest, symbols: Readonly<Record<string, number>>): PlannedBuffer[] {
  const slots = new Map<string, number>();
  for (const { slot, length, element } of manifest.buffers) {
    slots.set(slot, Math.max(slots.get(slot) ?? 0, evaluate(length, symbols) * elementBytes[element]));
  }
  return [...slots].map(([slot, bytes]) => planned(slot, "working", bytes));
}

/** Each distinct row range has tiles of its own; each run of rows of one sequence and group ends in at most one short tile. */
function mostPrefillTiles(manifest: Manifest, batch: number, maxRows: number): number {
  const { prefill, tileRows } = manifest.rows;
  const ranges = prefill.inputs.length + 1;
  const runs = batch * manifest.groups.length * ranges;
  return ranges * (Math.ceil(maxRows / tileRows.prefill) + runs);
}

function mostDecodeTiles(manifest: Manifest, batch: number): number {
  const { decode, tileRows } = manifest.rows;
  const counts = new Set([...decode.input, ...decode.query, 1]);
  return [...counts].reduce((tiles, copies) => tiles + batch * Math.ceil(copies / tileRows.decode), 0);
}

/** Throws OutOfMemory, with what takes how much, unless weights and sessions fit into the memory the caller allows. */
export function assertFits(memory: number | undefined, weightBytes: number, shape: SessionShape): void {
  if (memory === undefined) return;
  const sum = (...purposes: BufferPurpose[]) =>
    shape.buffers.filter(({ purpose }) => purposes.includes(purpose)).reduce((total, { bytes }) => total + bytes, 0);
  const caches = sum("cache");
  const working = sum("scratch", "working", "table", "control");
  const needed = weightBytes + caches + working;
  if (needed <= memory) return;
  throw new OutOfMemory(`the model needs ${needed} bytes and ${memory} are allowed`, {
    details: { needed, allowed: memory, weights: weightBytes, caches, working },
    hint: "Use a smaller context or batch.",
  });
}
