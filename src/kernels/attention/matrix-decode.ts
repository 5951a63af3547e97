import { buildKernel, type KernelBuilder, vector } from "../../ir/kernel/builder.js";
import type { Kernel } from "../../ir/kernel/kernel.js";
import { decodeWork, finishHeads } from "./decode-work.js";
import { bindHeads } from "./fresh-heads.js";
import { wordVector } from "./head-words.js";
import { type MatrixQueries, matrixAttend, pairType, storePair } from "./matrix-attend.js";
import { bindStores, tileMemory } from "./matrix-keys.js";
import { finishedQueries, finishQueries, storedQueries } from "./matrix-queries.js";
import { chooseMatrixTiling, invocationsOf, type MatrixTiling } from "./matrix-tiling.js";
import { type DecodeAttentionOptions, describeBlocks, describeHeads, kernelName } from "./options.js";
import { queryBlock } from "./query-block.js";

/** Attention of a decode step as `decodeAttention` computes it, on matrix units: same bindings, same workgroups, same partial results. */
export function matrixDecodeAttention(options: DecodeAttentionOptions): Kernel {
  const tiling = chooseMatrixTiling(options, 4);
  const doc = `Attention of up to ${options.tileRows} rows of one sequence over one split of its keys on matrix units, ${tiling.keys} keys at a time: ${describeHeads(options)}.`;
  return buildKernel(
    kernelName(options.fresh ? "finish_heads_decode_attention_mma" : "decode_attention_mma", options),
    {
      doc: options.fresh
        ? `${doc} Norms and rotates queries and the step's keys, and stores those that are kept.`
        : doc,
      dispatch: `${describeBlocks(options)}; z: splits`,
      workgroupSize: invocationsOf(tiling),
      resident: 2,
    },
    (k) => body(k, options, tiling),
  );
}

function body(k: KernelBuilder, options: DecodeAttentionOptions, tiling: MatrixTiling): void {
  const { heads, width, fresh } = options;
  const query = fresh ? undefined : k.read("query", pairType(width));
  const reader = fresh && bindHeads(k, options, fresh, wordVector(width));
  const bound = bindStores(k, options);
  const partialValues = k.readWrite("partial_values", pairType(width), "scratch");
  const partialStats = k.readWrite("partial_stats", "vec2<f32>", "scratch");
  const control = k.read("control", "i32", "state");
  const batch = k.param("batch");
  const splits = k.param("splits");
  const block = queryBlock(k, control, options);
  const work = decodeWork(k, options, block, bound, reader, batch, splits, tiling.keys);
  const { own } = work;
  const context = { k, options, tiling, block, batch, tiles: tileMemory(k, tiling) };
  const queries: MatrixQueries = own
    ? {
        operands: finishedQueries(context),
        prepare: () => {
          finishHeads(k, options, block, work, own, batch, () => finishQueries(context, own));
          k.barrier();
        },
      }
    : { operands: storedQueries(context, query!) };
  matrixAttend(context, work, queries, (pair) => {
    const queryRow = k.let("query_row", block.first.add(pair.row));
    k.if(queryRow.lt(block.end), () => {
      const { tableRow, head } = block.split(queryRow);
      const place = k.let("place", tableRow.mul(heads).add(head).mul(splits).add(k.workgroupId.z));
      storePair(partialValues, width, place.mul(width).add(pair.component), pair);
      partialStats.set(place, vector("f32", [pair.peak, pair.sum]), { when: pair.component.eq(0) });
    });
  });
}
