/** What a workgroup of decode attention takes: one split of the keys, and of the step's own heads those that it finishes. */
import { allOf, anyOf, clamp, i32, type KernelBuilder, max, u32, type Value } from "../../ir/kernel/builder.js";
import { keysOf } from "../group-of-row.js";
import type { HeadReader } from "./fresh-heads.js";
import { type BoundGroup, type KeyRange, keyPlaces, keyRanges } from "./key-ranges.js";
import { type DecodeAttentionOptions, rowBlocks } from "./options.js";
import { type OwnHeads, ownHeads } from "./own-heads.js";
import type { QueryBlock } from "./query-block.js";
import { componentsOf } from "./stored-units.js";

export interface DecodeWork<Group extends BoundGroup> {
  readonly groups: readonly Group[];
  /** Of each group, the part of this split. */
  readonly ranges: readonly KeyRange[];
  /** Absent where queries and keys were finished by a step before. */
  readonly own: OwnHeads | undefined;
}

/** @param tile keys of a tile: splits are cut between tiles */
export function decodeWork<Group extends BoundGroup>(
  k: KernelBuilder,
  options: DecodeAttentionOptions,
  block: QueryBlock,
  bound: readonly Group[],
  reader: HeadReader | undefined,
  batch: Value,
  splits: Value,
  tile: number,
): DecodeWork<Group> {
  const { fresh } = options;
  const own = fresh && ownHeads(k, options, fresh, reader!, block, batch);
  const groups = own ? bound.map((group) => ({ ...group, own: own.keys(group) })) : bound;
  const hulls = keyRanges(k, block, groups);
  const ranges = takeSplit(k, own ? clampToStore(k, block, groups, hulls) : hulls, k.workgroupId.z, splits, tile);
  return { groups, ranges, own };
}

/** Finishes queries, by `finishQueries`, and writes the keys that are kept. To be reached by the whole workgroup; a barrier must follow. */
export function finishHeads(
  k: KernelBuilder,
  options: DecodeAttentionOptions,
  block: QueryBlock,
  { groups, ranges }: DecodeWork<BoundGroup>,
  own: OwnHeads,
  batch: Value,
  finishQueries: () => void,
): void {
  const keeps = k.let("keeps_keys", keepsKeys(k, options, block, batch));
  const reaches = ranges.map(({ from, to }, index) => from.lt(to).and(to.gt(groups[index]!.own!.from)));
  own.prepare(k.let("takes_keys", anyOf(keeps, ...reaches)));
  finishQueries();
  k.if(keeps, () => {
    for (const group of groups) {
      if (!group.slots) continue;
      const units = options.width / componentsOf(group.keys!.type);
      own.keep(group, keyPlaces(k, group.number, group.slots, block, batch, options, units));
    }
  });
}

/** One workgroup of a sequence and key head: the first tile's first block, and the last split, which has the fewest keys. */
function keepsKeys(k: KernelBuilder, options: DecodeAttentionOptions, block: QueryBlock, batch: Value): Value {
  const last = k.workgroupId.z.add(1).eq(k.numWorkgroups.z);
  const tiles = Math.ceil(options.fresh!.order.length / options.tileRows);
  return allOf(
    last,
    ...(rowBlocks(options).blocks > 1 ? [block.first.eq(0)] : []),
    ...(tiles > 1 ? [block.tableRow(u32(0)).lt(k.param("row_base").add(batch))] : []),
  );
}

/** What of each range falls to one split when the ranges are laid end to end and cut into whole tiles. */
function takeSplit(
  k: KernelBuilder,
  ranges: readonly KeyRange[],
  split: Value,
  splits: Value,
  tile: number,
): KeyRange[] {
  const lengths = ranges.map(({ from, to }) => k.let("keys", max(to.sub(from), 0)));
  const total = lengths.reduce((a, b) => a.add(b), i32(0));
  const tiles = k.let("tiles", total.add(tile - 1).div(tile));
  const share = k.let("share", tiles.add(splits.toI32()).sub(1).div(splits.toI32()).mul(tile));
  const first = k.let("split_first", share.mul(split.toI32()));
  let before: Value = i32(0);
  return ranges.map((range, index) => {
    const length = lengths[index]!;
    const from = k.let("start", range.from.add(clamp(first.sub(before), 0, length)));
    const to = k.let("end", range.from.add(clamp(first.add(share).sub(before), 0, length)));
    before = before.add(length);
    return { ...range, from, to };
  });
}

/** Keys that the store of a group no longer holds are seen by nobody, though the hull of what several rows see may hold them. */
function clampToStore(
  k: KernelBuilder,
  block: QueryBlock,
  groups: readonly BoundGroup[],
  ranges: readonly KeyRange[],
): KeyRange[] {
  return ranges.map((range, index) => {
    const { group, slots, own } = groups[index]!;
    const oldest = slots === undefined ? own!.from : keysOf(group, block.length).sub(slots.toI32());
    return { ...range, from: k.let("from", max(range.from, oldest)) };
  });
}
