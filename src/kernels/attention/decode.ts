import { buildKernel, type KernelBuilder, max, type Value, vector, vectorOf } from "../../ir/kernel/builder.js";
import type { Kernel } from "../../ir/kernel/kernel.js";
import { attend } from "./attend.js";
import { decodeWork, finishHeads } from "./decode-work.js";
import { bindHeads } from "./fresh-heads.js";
import { bindGroups } from "./key-ranges.js";
import { type Queries, rowQueries } from "./key-tile.js";
import {
  type DecodeAttentionOptions,
  describeBlocks,
  describeHeads,
  headVector,
  kernelName,
  rowBlocks,
} from "./options.js";
import { type OwnHeads, ownHeadBytes } from "./own-heads.js";
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
  const tiling = tilingOf(options);
  const doc = `Attention of up to ${options.tileRows} rows of one sequence over one split of its keys, ${tiling.keys} keys at a time: ${describeHeads(options)}.`;
  return buildKernel(
    kernelName(options.fresh ? "finish_heads_decode_attention" : "decode_attention", options),
    {
      doc: options.fresh
        ? `${doc} Norms and rotates queries and the step's keys, and stores those that are kept.`
        : doc,
      dispatch: `${describeBlocks(options)}; z: splits`,
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
  const reader = fresh && bindHeads(k, options, fresh, lanes);
  const bound = bindGroups(k, options);
  const partialValues = k.readWrite("partial_values", vectorOf("f32", lanes), "scratch");
  const partialStats = k.readWrite("partial_stats", "vec2<f32>", "scratch");
  const control = k.read("control", "i32", "state");
  const batch = k.param("batch");
  const splits = k.param("splits");

  const block = queryBlock(k, control, options);
  const split = k.workgroupId.z;
  const placeOf = (tableRow: Value, head: Value) => tableRow.mul(heads).add(head).mul(splits).add(split);
  const work = decodeWork(k, options, block, bound, reader, batch, splits, tiling.keys);
  const { own } = work;
  // Until the results are there, their place holds the finished queries: nobody else's, and too many for workgroup memory.
  const queries = own
    ? { memory: partialValues, start: (row: Value, head: Value) => placeOf(row, head).mul(width / lanes), lent: true }
    : rowQueries(query!, options);
  if (own) {
    finishHeads(k, options, block, work, own, batch, () => finishQueries(k, options, block, own, queries));
    k.barrier({ buffers: true });
  }
  const gathered = attend({ k, options, tiling, block, queries, batch }, work);

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

/** Finishes the queries of the block into memory. */
function finishQueries(
  k: KernelBuilder,
  { width }: DecodeAttentionOptions,
  block: QueryBlock,
  own: OwnHeads,
  { memory, start }: Queries,
): void {
  const vectors = width / headVector(width);
  // A tile with fewer rows than it may have leaves its last blocks empty: they end before they begin.
  const count = k.let("query_vectors", max(block.end, block.first).sub(block.first).mul(vectors));
  k.for("element", { from: k.localId, to: count, step: k.workgroupSize }, (element) => {
    const place = k.let("place", element.div(vectors));
    const component = k.let("component", element.rem(vectors));
    const query = own.query(place);
    memory.set(start(query.tableRow, query.head).add(component), query.at(component));
  });
}
