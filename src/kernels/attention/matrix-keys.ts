/** How tiles of keys and values get into workgroup memory as rows of halves, for attention on matrix units. */
import {
  allOf,
  constantOf,
  type KernelBuilder,
  type Memory,
  packHalves,
  type Value,
  vector,
} from "../../ir/kernel/builder.js";
import type { HalfFormat } from "../../ir/kernel/expressions.js";
import { floorMod } from "../../ir/kernel/from-integer.js";
import type { ValueType } from "../../ir/kernel/types.js";
import { times } from "../times.js";
import type { BoundGroup, KeyRange } from "./key-ranges.js";
import { invocationsOf, type MatrixTiling } from "./matrix-tiling.js";
import type { AttentionOptions } from "./options.js";
import type { QueryBlock } from "./query-block.js";

/** A group whose keys are bound as what one load takes of them. */
export interface StoredGroup extends BoundGroup {
  readonly keys: Memory;
  readonly slots: Value;
}

/** Binds the buffers of the groups that are read at all. */
export function bindStores(k: KernelBuilder, options: AttentionOptions): StoredGroup[] {
  return options.groups.flatMap((group, number): StoredGroup[] => {
    const part = options.parts[number]!;
    if (part.density === "empty") return [];
    const keys = k.read(`keys_${number}`, loadType(options), "cache");
    return [{ number, group, part, keys, slots: k.param(`slots_${number}`) }];
  });
}

/** The widest load that never straddles two heads. */
function loadType({ width, cache }: AttentionOptions): ValueType {
  return width % 8 === 0 ? "vec4<u32>" : width % 2 === 0 ? "u32" : cache;
}

export interface TileMemory {
  /** Keys of a stage, then its values; a key is `keyStride` words. */
  readonly memory: Memory;
  /** First word of the keys or values of a stage. */
  at(stage: Value, source: "key" | "value"): Value;
}

export function tileMemory(k: KernelBuilder, { keys, keyStride, stages }: MatrixTiling): TileMemory {
  const half = keys * keyStride;
  return {
    memory: k.workgroupArray("tiles", "vec4<u32>", 2 * half * stages),
    at: (stage, source) => stage.mul(2 * half).add(source === "key" ? 0 : half),
  };
}

export interface MatrixTileContext {
  readonly k: KernelBuilder;
  readonly options: AttentionOptions;
  readonly tiling: MatrixTiling;
  readonly block: QueryBlock;
  readonly batch: Value;
  readonly tiles: TileMemory;
}

/**
 * What starts to bring the tile of keys from `start` on, with its values, into a stage. Keys behind the range are not read; zeros stand in
 * their place, and behind the end of every head.
 */
export function tileStarter(
  { k, options, tiling, block, batch, tiles }: MatrixTileContext,
  group: StoredGroup,
  range: KeyRange,
): (start: Value, stage: Value) => void {
  const { keys, depth, keyStride } = tiling;
  const { number, slots } = group;
  const rowWords = 2 * depth;
  const base = k.let(`base_${number}`, block.sequenceWord(4 + number));
  const first = {
    key: k.let(`first_key_${number}`, block.sequence.mul(slots)),
    value: k.let(`first_value_${number}`, block.sequence.add(batch).mul(slots)),
  };
  return (start, stage) => {
    const slot = k.let("slot", floorMod(k, start.sub(base), slots.toI32()).toU32());
    const present = k.let("present", range.to.sub(start).toU32());
    k.for("word", { from: k.localId, to: keys * rowWords, step: invocationsOf(tiling) }, (word) => {
      const key = k.let("key", word.div(rowWords));
      const part = k.let("part", word.rem(rowWords));
      const own = k.let("own_slot", slot.add(key).rem(slots));
      for (const source of ["key", "value"] as const) {
        const head = k.let(`${source}_head`, first[source].add(own).mul(options.kvHeads).add(block.keyHead));
        const place = tiles.at(stage, source).add(key.mul(keyStride)).add(part);
        bringWord(k, options, group.keys, { head, part, there: key.lt(present) }, tiles.memory, place);
      }
    });
    k.asyncCommit();
  };
}

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
  const pair = (index: number) => packHalves(cache as HalfFormat, vector("f32", parts.slice(2 * index, 2 * index + 2)));
  memory.set(place, vector("u32", unit === 2 ? parts : times(4, pair)));
}
