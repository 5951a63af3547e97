/** The workgroup memory of attention, and how a tile of keys and values gets there. */
import { type KernelBuilder, type Memory, min, type Value, vectorOf } from "../../ir/kernel/builder.js";
import { type BoundGroup, type KeyRange, keyPlaces } from "./key-ranges.js";
import { type AttentionOptions, headVector } from "./options.js";
import type { QueryBlock } from "./query-block.js";
import type { Tiling } from "./tiling.js";

/** What all parts of an attention kernel work with. */
export interface AttentionBody {
  readonly k: KernelBuilder;
  readonly options: AttentionOptions;
  readonly tiling: Tiling;
  readonly block: QueryBlock;
  readonly queries: Queries;
  /** Sequences of the session. */
  readonly batch: Value;
  readonly shared: SharedMemory;
}

/** Finished queries, f32 in vectors of the head. */
export interface Queries {
  readonly memory: Memory;
  /** First vector of a query. */
  start(tableRow: Value, head: Value): Value;
  /** Whether the results will be written over them. */
  readonly lent?: boolean;
}

/** Queries that a step before has finished, [rows][heads × width]. */
export function rowQueries(memory: Memory, { heads, width }: AttentionOptions): Queries {
  const vectors = width / headVector(width);
  return { memory, start: (tableRow, head) => tableRow.mul(heads).add(head).mul(vectors) };
}

export interface SharedMemory {
  /** A tile of keys, `keyStride` vectors apart; behind it a tile of values. */
  readonly tile: Memory;
  readonly valuesAt: number;
  /** Weight of key j for row vector r at j · rowVectors + r. */
  readonly weights: Memory;
  /** The highest score among the keys of one scorer, by key column and row vector. */
  readonly columnPeaks: Memory;
  /** What the sums of a row vector have to be scaled by. */
  readonly corrections: Memory;
  readonly peaks: Memory;
}

export function sharedMemory(k: KernelBuilder, tiling: Tiling): SharedMemory {
  const { rowVectors, keys, keyColumns } = tiling;
  const rowType = vectorOf("f32", tiling.rowVector);
  return {
    tile: k.workgroupArray("tile", vectorOf("f32", tiling.headVector), tiling.tileVectors),
    valuesAt: keys * tiling.keyStride,
    weights: k.workgroupArray("weights", rowType, keys * rowVectors),
    columnPeaks: k.workgroupArray("column_peaks", rowType, keyColumns * rowVectors),
    corrections: k.workgroupArray("corrections", rowType, rowVectors),
    peaks: k.workgroupArray("peaks", rowType, rowVectors),
  };
}

export interface TileLoader {
  loadKeys(start: Value): void;
  loadValues(start: Value): void;
}

/**
 * Loads tiles with neighbouring invocations at neighbouring vectors. Keys beyond the range are not read; the mask hides whatever then
 * stands in their place.
 */
export function tileLoader(
  { k, options, tiling, block, batch, shared }: AttentionBody,
  group: BoundGroup,
  range: KeyRange,
): TileLoader {
  const { keys, headVectors, keyStride, workgroupSize } = tiling;
  const { tile, valuesAt } = shared;
  const { own, keys: store, slots, number } = group;
  const places = slots && keyPlaces(k, number, slots, block, batch, options, headVectors);
  const load = (start: Value, source: "key" | "value") => {
    const slot = places && k.let("slot", places.firstSlot(start));
    const present = k.let("present", min(range.to.sub(start).toU32(), keys).mul(headVectors));
    k.for("element", { from: k.localId, to: present, step: workgroupSize }, (element) => {
      const offset = k.let("offset", element.div(headVectors));
      const component = k.let("component", element.rem(headVectors));
      const target = source === "key" ? offset.mul(keyStride).add(component) : element.add(valuesAt);
      const fromStore = () => tile.set(target, store!.at(places![source](slot!, offset).add(component)).toF32());
      if (own === undefined) return fromStore();
      const index = k.let("index", start.add(offset.toI32()));
      const fromStep = () => tile.set(target, own.at(source, index, component).to(options.cache).toF32());
      if (places === undefined) fromStep();
      else k.if(index.lt(own.from), fromStore, fromStep);
    });
  };
  return { loadKeys: (start) => load(start, "key"), loadValues: (start) => load(start, "value") };
}
