import { buildKernel, vector } from "../../ir/kernel/builder.js";
import type { Kernel } from "../../ir/kernel/kernel.js";
import { takeSplit } from "./decode.js";
import { keyRanges } from "./key-ranges.js";
import { matrixAttend, pairType, storePair } from "./matrix-attend.js";
import { bindStores, tileMemory } from "./matrix-keys.js";
import { chooseMatrixTiling, invocationsOf } from "./matrix-tiling.js";
import { type AttentionOptions, describeHeads, kernelName, rowBlocks } from "./options.js";
import { queryBlock } from "./query-block.js";

/** Attention of a decode step as `decodeAttention` computes it, on matrix units: same bindings, same workgroups, same partial results. */
export function matrixDecodeAttention(options: AttentionOptions): Kernel {
  const { heads, width } = options;
  const { blocks } = rowBlocks(options);
  const tiling = chooseMatrixTiling(options);
  return buildKernel(
    kernelName("decode_attention_mma", options),
    {
      doc: `Attention of up to ${options.tileRows} rows of one sequence over one split of its keys on matrix units, ${tiling.keys} keys at a time: ${describeHeads(options)}.`,
      dispatch: `x: one workgroup per query tile; y: ${options.kvHeads} key heads${blocks > 1 ? ` × ${blocks} blocks of rows` : ""}; z: splits`,
      workgroupSize: invocationsOf(tiling),
      resident: 2,
    },
    (k) => {
      const query = k.read("query", pairType(width));
      const groups = bindStores(k, options);
      const partialValues = k.readWrite("partial_values", pairType(width), "scratch");
      const partialStats = k.readWrite("partial_stats", "vec2<f32>", "scratch");
      const control = k.read("control", "i32", "state");
      const batch = k.param("batch");
      const splits = k.param("splits");
      const block = queryBlock(k, control, options);
      const split = k.workgroupId.z;
      const ranges = takeSplit(k, keyRanges(k, block, groups), split, splits, tiling.keys);
      const context = { k, options, tiling, block, batch, tiles: tileMemory(k, tiling) };
      matrixAttend(context, query, { groups, ranges }, (pair) => {
        const queryRow = k.let("query_row", block.first.add(pair.row));
        k.if(queryRow.lt(block.end), () => {
          const { tableRow, head } = block.split(queryRow);
          const place = k.let("place", tableRow.mul(heads).add(head).mul(splits).add(split));
          storePair(partialValues, width, place.mul(width).add(pair.component), pair);
          partialStats.set(place, vector("f32", [pair.peak, pair.sum]), { when: pair.component.eq(0) });
        });
      });
    },
  );
}
