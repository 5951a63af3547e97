import {
  allOf,
  anyOf,
  buildKernel,
  clamp,
  i32,
  type KernelBuilder,
  max,
  u32,
  type Value,
  vector,
  vectorOf,
} from "../../ir/kernel/builder.js";
import type { Kernel } from "../../ir/kernel/kernel.js";
import { keysOf } from "../group-of-row.js";
import { attend } from "./attend.js";
import { bindHeads } from "./fresh-heads.js";
import { type BoundGroup, bindGroups, type KeyRange, keyPlaces, keyRanges } from "./key-ranges.js";
import { rowQueries } from "./key-tile.js";
import { type DecodeAttentionOptions, describeHeads, headVector, kernelName, rowBlocks } from "./options.js";
import { ownHeadBytes, ownHeads } from "./own-heads.js";
import { type QueryBlock, queryBlock } from "./query-block.js";
import { chooseTiling, type Tiling } from "./tiling.js";

/**
 * Attention of a decode step, split over the keys.
 *
 * One workgroup takes all query rows of a sequence that share a key head (all copies × their heads), so that every live key and value
 * is read once for all of them, and one of `splits` equal parts of the keys, those of all groups laid end to end. It leaves an
 * unnormalised part of the result, which merging completes. With `fresh` it also finishes queries and keys (see own-heads.ts).
 */
export function decodeAttention(options: DecodeAttentionOptions): Kernel {
  const { blocks } = rowBlocks(options);
  const tiling = tilingOf(options);
  const doc = `Attention of up to ${options.tileRows} rows of one sequence over one split of its keys, ${tiling.keys} keys at a time: ${describeHeads(options)}.`;
  return buildKernel(
    kernelName(options.fresh ? "finish_heads_decode_attention" : "decode_attention", options),
    {
      doc: options.fresh
        ? `${doc} Norms and rotates queries and the step's keys, and stores those that are kept.`
        : doc,
      dispatch: `x: one workgroup per query tile; y: ${options.kvHeads} key heads${blocks > 1 ? ` × ${blocks} blocks of rows` : ""}; z: splits`,
      workgroupSize: tiling.workgroupSize,
    },
    (k) => body(k, options, tiling),
  );
}

function tilingOf(options: DecodeAttentionOptions): Tiling {
  const { blockRows } = rowBlocks(options);
  return chooseTiling(blockRows, options.width, options.capabilities, (size) => ownHeadBytes(options, size));
}

function body(k: KernelBuilder, options: DecodeAttentionOptions, tiling: Tiling): void {
  const { heads, width, fresh } = options;
  const lanes = headVector(width);
  const query = fresh ? undefined : k.read("query", vectorOf("f32", lanes));
  const reader = fresh && bindHeads(k, options, fresh);
  const bound = bindGroups(k, options);
  const partialValues = k.readWrite("partial_values", vectorOf("f32", lanes), "scratch");
  const partialStats = k.readWrite("partial_stats", "vec2<f32>", "scratch");
  const control = k.read("control", "i32", "state");
  const batch = k.param("batch");
  const splits = k.param("splits");

  const block = queryBlock(k, control, options);
  const split = k.workgroupId.z;
  const placeOf = (tableRow: Value, head: Value) => tableRow.mul(heads).add(head).mul(splits).add(split);
  const own = fresh && ownHeads(k, options, fresh, reader!, block, batch);
  const groups = own ? bound.map((group) => ({ ...group, own: own.keys(group) })) : bound;
  const hulls = keyRanges(k, block, groups);
  const ranges = takeSplit(k, own ? clampToStore(k, block, groups, hulls) : hulls, split, splits, tiling.keys);
  // Until the results are there, their place holds the finished queries: nobody else's, and too many for workgroup memory.
  const queries = own
    ? { memory: partialValues, start: (row: Value, head: Value) => placeOf(row, head).mul(width / lanes), lent: true }
    : rowQueries(query!, options);
  if (own) {
    const keeps = k.let("keeps_keys", keepsKeys(k, options, block, batch));
    const reaches = ranges.map(({ from, to }, index) => from.lt(to).and(to.gt(groups[index]!.own!.from)));
    own.prepare(k.let("takes_keys", anyOf(keeps, ...reaches)));
    own.finishQueries(queries.memory, queries.start);
    k.if(keeps, () => {
      for (const group of groups) {
        if (group.slots) own.keep(group, keyPlaces(k, group.number, group.slots, block, batch, options));
      }
    });
    k.barrier({ buffers: true });
  }
  const gathered = attend({ k, options, tiling, block, queries, batch }, { groups, ranges });

  k.if(gathered.holds, () => {
    for (const { row, values, sum, peak } of gathered.rows) {
      const queryRow = k.let("row", block.first.add(row));
      k.if(queryRow.lt(block.end), () => {
        const { tableRow, head } = block.split(queryRow);
        const place = k.let("place", placeOf(tableRow, head));
        partialValues.set(place.mul(width / lanes).add(gathered.headVector), values);
        partialStats.set(place, vector("f32", [peak, sum]), { when: gathered.headVector.eq(0) });
      });
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
export function takeSplit(
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
