/** How tiles of keys and values get into workgroup memory as rows of halves, for attention on matrix units. */
import {
  allOf,
  constantOf,
  type KernelBuilder,
  type Memory,
  max,
  packHalves,
  u32,
  type Value,
  vector,
} from "../../ir/kernel/builder.js";
import { floorMod } from "../../ir/kernel/from-integer.js";
import type { ValueType } from "../../ir/kernel/types.js";
import { times } from "../times.js";
import { headWord } from "./head-words.js";
import { type BoundGroup, bindGroups, type KeyRange } from "./key-ranges.js";
import { cacheFormat, invocationsOf, type MatrixTiling } from "./matrix-tiling.js";
import type { AttentionOptions, DecodeAttentionOptions } from "./options.js";
import type { QueryBlock } from "./query-block.js";

/** Binds the buffers of the groups that are read at all. */
export const bindStores = (k: KernelBuilder, options: DecodeAttentionOptions): BoundGroup[] =>
  bindGroups(k, options, loadType(options));

/** The widest load that never straddles two heads. */
function loadType({ width, cache }: AttentionOptions): ValueType {
  return width % 8 === 0 ? "vec4<u32>" : width % 2 === 0 ? "u32" : cache;
}

export interface TileMemory {
  /** Keys of a stage, then its values; a key is `keyStride` words. */
  readonly memory: Memory;
  /** First word of the keys or values of a stage. */
  at(stage: Value, source: "key" | "value"): Value;
  /** First word of queries that wait here before a tile is brought to the last stage. */
  readonly queriesAt: number;
}

export function tileMemory(k: KernelBuilder, tiling: MatrixTiling): TileMemory {
  const half = tiling.keys * tiling.keyStride;
  return {
    memory: k.workgroupArray("tiles", "vec4<u32>", tiling.tileWords),
    at: (stage, source) => stage.mul(2 * half).add(source === "key" ? 0 : half),
    queriesAt: 2 * half * (tiling.stages - 1),
  };
}

export interface MatrixTileContext {
  readonly k: KernelBuilder;
  readonly options: DecodeAttentionOptions;
  readonly tiling: MatrixTiling;
  readonly block: QueryBlock;
  readonly batch: Value;
  readonly tiles: TileMemory;
}

export interface MatrixTileLoader {
  /** Starts to bring the stored ones of the tile of keys from `first` on, with their values, into a stage; the caller commits. */
  start(first: Value, stage: Value): void;
  /** Puts those of the step itself there, finished, before the barrier behind which the tile is read. */
  complete(first: Value, stage: Value): void;
}

/** Keys behind the range are not read; zeros stand in their place, and behind the end of every head. */
export function matrixTileLoader(
  { k, options, tiling, block, batch, tiles }: MatrixTileContext,
  { number, keys: store, slots, own }: BoundGroup,
  range: KeyRange,
): MatrixTileLoader {
  const { keys, depth, keyStride } = tiling;
  const rowWords = 2 * depth;
  /** Walks words of the tile's keys; `skipped` keys do not belong to them. */
  const eachWord = (skipped: Value, body: (key: Value, part: Value, placeOf: PlaceOfWord) => void, stage: Value) => {
    const count = u32(keys).sub(skipped).mul(rowWords);
    k.for("word", { from: k.localId, to: count, step: invocationsOf(tiling) }, (word) => {
      const key = k.let("key", word.div(rowWords).add(skipped));
      const part = k.let("part", word.rem(rowWords));
      body(key, part, (source) => tiles.at(stage, source).add(key.mul(keyStride)).add(part));
    });
  };
  const startStored = (first: Value, stage: Value, memory: Memory, perSequence: Value) => {
    const slot = k.let("slot", floorMod(k, first.sub(base!), perSequence.toI32()).toU32());
    const present = k.let("present", range.to.sub(first).toU32());
    eachWord(
      u32(0),
      (key, part, placeOf) => {
        const bring = () => {
          const ownSlot = k.let("own_slot", slot.add(key).rem(perSequence));
          for (const source of ["key", "value"] as const) {
            const head = k.let(`${source}_head`, before![source].add(ownSlot).mul(options.kvHeads).add(block.keyHead));
            bringWord(k, options, memory, { head, part, there: key.lt(present) }, tiles.memory, placeOf(source));
          }
        };
        if (own === undefined) bring();
        else k.if(first.add(key.toI32()).lt(own.from), bring);
      },
      stage,
    );
  };
  const base = slots && k.let(`base_${number}`, block.sequenceWord(4 + number));
  const before = slots && {
    key: k.let(`first_key_${number}`, block.sequence.mul(slots)),
    value: k.let(`first_value_${number}`, block.sequence.add(batch).mul(slots)),
  };
  return {
    start: (first, stage) => {
      if (store !== undefined) startStored(first, stage, store, slots!);
    },
    complete: (first, stage) => {
      if (own === undefined) return;
      k.if(first.add(keys).gt(own.from), () => {
        const skipped = k.let("stored_keys", max(own.from.sub(first), 0).toU32());
        eachWord(
          skipped,
          (key, part, placeOf) => {
            const index = k.let("index", first.add(key.toI32()));
            for (const source of ["key", "value"] as const) {
              const word = headWord(k, options.width, cacheFormat(options), {
                ...{ part, there: index.lt(range.to) },
                head: () => (component) => own.at(source, index, component),
              });
              tiles.memory.set(placeOf(source), word);
            }
          },
          stage,
        );
      });
    },
  };
}

type PlaceOfWord = (source: "key" | "value") => Value;

interface StoredWord {
  /** Which head of which slot of the store. */
  readonly head: Value;
  /** Which eight components of it. */
  readonly part: Value;
  readonly there: Value;
}

/** Heads of whole words are copied beside computation; others are put together from smaller loads. */
function bringWord(
  k: KernelBuilder,
  { width, cache }: AttentionOptions,
  keys: Memory,
  { head, part, there }: StoredWord,
  memory: Memory,
  place: Value,
): void {
  if (width % 8 === 0) {
    const words = width / 8;
    k.asyncCopy(memory, place, keys, head.mul(words).add(part), { when: allOf(there, part.lt(words)) });
    return;
  }
  const unit = width % 2 === 0 ? 2 : 1;
  const parts = times(8 / unit, (index) => {
    const component = part.mul(8).add(index * unit);
    const loaded = k.var("loaded", constantOf(unit === 2 ? "u32" : "f32", 0));
    k.if(allOf(there, component.lt(width)), () => {
      const stored = keys.at(head.mul(width / unit).add(component.div(unit)));
      loaded.set(unit === 2 ? stored : stored.toF32());
    });
    return loaded;
  });
  const pair = (index: number) =>
    packHalves(cacheFormat({ cache }), vector("f32", parts.slice(2 * index, 2 * index + 2)));
  memory.set(place, vector("u32", unit === 2 ? parts : times(4, pair)));
}
