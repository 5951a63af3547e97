/**
 * Which keys a block of query rows has to look at, and where they stand.
 */
import { symbolsOf } from "../../ir/expr.js";
import type { AttendPart, KeyGroup } from "../../ir/graph/ops.js";
import { i32, type KernelBuilder, type Memory, max, min, type Value } from "../../ir/kernel/builder.js";
import { floorMod, integerValue } from "../../ir/kernel/from-integer.js";
import { type ValueType, vectorOf } from "../../ir/kernel/types.js";
import { keysOf } from "../group-of-row.js";
import { type AttentionShape, type DecodeAttentionOptions, headVector } from "./options.js";
import type { OwnKeys } from "./own-heads.js";
import type { QueryBlock } from "./query-block.js";

/** A key group that some query sees, with the buffer of its keys and values. */
export interface BoundGroup {
  /** Place in the graph's groups. */
  readonly number: number;
  readonly group: KeyGroup;
  readonly part: AttendPart;
  /** Absent where no key outlives its step, and all that are seen are the step's own. */
  readonly keys: Memory | undefined;
  /** Slots per sequence. */
  readonly slots: Value | undefined;
  /** Where attention finishes the step's own keys itself: they are not in the store. */
  readonly own?: OwnKeys;
}

/**
 * Binds the buffers of the groups that are read at all. A kernel that finishes the step's keys also writes those that are kept.
 *
 * @param type what one load takes of them
 */
export function bindGroups(
  k: KernelBuilder,
  { groups, parts, cache, width, fresh }: DecodeAttentionOptions,
  type: ValueType = vectorOf(cache, headVector(width)),
): BoundGroup[] {
  return groups.flatMap((group, number): BoundGroup[] => {
    const part = parts[number]!;
    if (part.density === "empty") return [];
    if (fresh && !fresh.kept.includes(number)) return [{ number, group, part, keys: undefined, slots: undefined }];
    const name = `keys_${number}`;
    const keys = fresh ? k.readWrite(name, type, "cache") : k.read(name, type, "cache");
    return [{ number, group, part, keys, slots: k.param(`slots_${number}`) }];
  });
}

/** Indices of a group, [from, to); every row of the block sees all of [fullFrom, fullTo), which may be empty. All i32. */
export interface KeyRange {
  readonly from: Value;
  readonly to: Value;
  readonly fullFrom: Value;
  readonly fullTo: Value;
}

/**
 * The hull of what the rows of the block see in each group.
 *
 * Every invocation walks all rows of the tile: a few dozen loads from the cache, but no barrier, and the results are
 * uniform by construction, so that loops with barriers may run over them.
 */
export function keyRanges(k: KernelBuilder, block: QueryBlock, groups: readonly BoundGroup[]): KeyRange[] {
  const hulls = groups.map(({ number }) => ({
    from: k.var(`from_${number}`, i32(farAway)),
    to: k.var(`to_${number}`, i32(0)),
    fullFrom: k.var(`full_from_${number}`, i32(0)),
    fullTo: k.var(`full_to_${number}`, i32(farAway)),
  }));
  k.for("tile_row", { from: block.firstTileRow, to: block.endTileRow }, (tileRow) => {
    const row = k.let("table_row", block.tableRow(tileRow));
    const query = queryToken(k, block, row, symbolsOfBounds(groups));
    groups.forEach((group, index) => {
      const hull = hulls[index]!;
      const { lo, hi } = boundsOf(k, group, query, block.length);
      k.if(lo.lt(hi), () => {
        hull.from.set(min(hull.from, lo));
        hull.to.set(max(hull.to, hi));
      });
      hull.fullFrom.set(max(hull.fullFrom, lo));
      hull.fullTo.set(min(hull.fullTo, hi));
    });
  });
  return hulls;
}

/** The same, with both ends in constants: what loops run over. */
export function namedKeyRanges(k: KernelBuilder, block: QueryBlock, groups: readonly BoundGroup[]): KeyRange[] {
  return keyRanges(k, block, groups).map((range, index) => ({
    ...range,
    from: k.let(`start_${groups[index]!.number}`, range.from),
    to: k.let(`end_${groups[index]!.number}`, range.to),
  }));
}

/** Larger than any index, and far from wrapping. */
const farAway = 2 ** 30;

/** First and one past the last key that the bounds of a part give a query, inside what exists. */
export function boundsOf(k: KernelBuilder, { group, part }: BoundGroup, query: QueryToken, length: Value) {
  const symbols = { values: { q_pos: query.pos, q_copy: query.copy }, nonNegative: queryNames };
  const existing = keysOf(group, length);
  return {
    lo: k.let("lo", max(integerValue(k, part.lo, symbols), 0)),
    hi: k.let("hi", min(integerValue(k, part.hi, symbols), existing)),
  };
}

const queryNames: ReadonlySet<string> = new Set(["q_pos", "q_copy"]);

/** A query's coordinates, i32; 0 where nothing asks for them. */
export interface QueryToken {
  readonly pos: Value;
  readonly copy: Value;
}

/** Loads what is asked for, `q_pos` and `q_copy`, of a row of the table. */
export function queryToken(
  k: KernelBuilder,
  block: QueryBlock,
  tableRow: Value,
  asked: ReadonlySet<string>,
): QueryToken {
  return {
    pos: asked.has("q_pos") ? k.let("pos", block.position(tableRow)) : i32(0),
    copy: asked.has("q_copy") ? k.let("copy", block.copy(tableRow)) : i32(0),
  };
}

function symbolsOfBounds(groups: readonly BoundGroup[]): ReadonlySet<string> {
  const symbols = new Set<string>();
  for (const { part } of groups) symbolsOf(part.hi, symbolsOf(part.lo, symbols));
  return symbols;
}

/** The same for masks, which also ask the predicate where bounds alone do not decide. */
export function symbolsOfMasks(groups: readonly BoundGroup[]): ReadonlySet<string> {
  return groups.some(({ part }) => part.density === "ranged") ? queryNames : symbolsOfBounds(groups);
}

/** Finds keys and values of one group and sequence for one key head. */
export interface KeyPlaces {
  /** For the keys from index `start` on: the slot of the first. Uniform, computed once per tile. */
  firstSlot(start: Value): Value;
  /** First unit of the key that stands `offset` after the one in `firstSlot`. */
  key(firstSlot: Value, offset: Value): Value;
  value(firstSlot: Value, offset: Value): Value;
}

/** @param units elements of the bound store that make a head */
export function keyPlaces(
  k: KernelBuilder,
  number: number,
  slots: Value,
  block: QueryBlock,
  batch: Value,
  { kvHeads }: AttentionShape,
  units: number,
): KeyPlaces {
  const base = k.let(`base_${number}`, block.sequenceWord(4 + number));
  const firstKey = k.let(`first_key_${number}`, block.sequence.mul(slots));
  const firstValue = k.let(`first_value_${number}`, block.sequence.add(batch).mul(slots));
  const place = (first: Value, slot: Value, offset: Value) =>
    first.add(slot.add(offset).rem(slots)).mul(kvHeads).add(block.keyHead).mul(units);
  return {
    firstSlot: (start) => floorMod(k, start.sub(base), slots.toI32()).toU32(),
    key: (slot, offset) => place(firstKey, slot, offset),
    value: (slot, offset) => place(firstValue, slot, offset),
  };
}
