import {
  buildKernel,
  clamp,
  i32,
  type KernelBuilder,
  max,
  type Value,
  vector,
  vectorOf,
} from "../../ir/kernel/builder.js";
import type { Kernel } from "../../ir/kernel/kernel.js";
import { attend } from "./attend.js";
import { bindGroups, type KeyRange, keyRanges } from "./key-ranges.js";
import { type AttentionOptions, describeHeads, headVector, kernelName, rowBlocks } from "./options.js";
import { queryBlock } from "./query-block.js";
import { chooseTiling } from "./tiling.js";

/**
 * Attention of a decode step, split over the keys.
 *
 * One workgroup takes all query rows of a sequence that share a key head (all copies × their heads), so that every live key and value
 * is read once for all of them, and one of `splits` equal parts of the keys, those of all groups laid end to end. It leaves an
 * unnormalised part of the result, which merging completes.
 */
export function decodeAttention(options: AttentionOptions): Kernel {
  const { blocks, blockRows } = rowBlocks(options);
  const tiling = chooseTiling(blockRows, options.width, options.capabilities);
  return buildKernel(
    kernelName("decode_attention", options),
    {
      doc: `Attention of up to ${options.tileRows} rows of one sequence over one split of its keys, ${tiling.keys} keys at a time: ${describeHeads(options)}.`,
      dispatch: `x: one workgroup per query tile; y: ${options.kvHeads} key heads${blocks > 1 ? ` × ${blocks} blocks of rows` : ""}; z: splits`,
      workgroupSize: tiling.workgroupSize,
    },
    (k) => body(k, options),
  );
}

function body(k: KernelBuilder, options: AttentionOptions): void {
  const { heads, width } = options;
  const lanes = headVector(width);
  const query = k.read("query", vectorOf("f32", lanes));
  const groups = bindGroups(k, options);
  const partialValues = k.readWrite("partial_values", vectorOf("f32", lanes), "scratch");
  const partialStats = k.readWrite("partial_stats", "vec2<f32>", "scratch");
  const control = k.read("control", "i32", "state");
  const batch = k.param("batch");
  const splits = k.param("splits");

  const block = queryBlock(k, control, options);
  const tiling = chooseTiling(rowBlocks(options).blockRows, width, options.capabilities);
  const split = k.workgroupId.z;
  const ranges = takeSplit(k, keyRanges(k, block, groups), split, splits, tiling.keys);
  const gathered = attend({ k, options, tiling, block, query, batch }, { groups, ranges });

  k.if(gathered.holds, () => {
    for (const { row, values, sum, peak } of gathered.rows) {
      const queryRow = k.let("row", block.first.add(row));
      k.if(queryRow.lt(block.end), () => {
        const { tableRow, head } = block.split(queryRow);
        const place = k.let("place", tableRow.mul(heads).add(head).mul(splits).add(split));
        partialValues.set(place.mul(width / lanes).add(gathered.headVector), values);
        partialStats.set(place, vector("f32", [peak, sum]), { when: gathered.headVector.eq(0) });
      });
    }
  });
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
