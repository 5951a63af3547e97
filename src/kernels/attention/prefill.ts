import { buildKernel, type KernelBuilder, max, vectorOf } from "../../ir/kernel/builder.js";
import type { Kernel } from "../../ir/kernel/kernel.js";
import { attend } from "./attend.js";
import { bindGroups, namedKeyRanges } from "./key-ranges.js";
import { rowQueries } from "./key-tile.js";
import { type AttentionOptions, describeBlocks, describeHeads, headVector, kernelName, rowBlocks } from "./options.js";
import { queryBlock } from "./query-block.js";
import { leastSum } from "./score.js";
import { chooseTiling } from "./tiling.js";

/**
 * Attention of a prefill slice: flash attention with an online softmax.
 *
 * One workgroup takes a block of query rows (the rows of a query tile × the heads that share a key head) and walks the keys that
 * they may see, group by group, tile by tile. Tiles that every row sees whole run without a mask.
 */
export function prefillAttention(options: AttentionOptions): Kernel {
  const { blockRows } = rowBlocks(options);
  const tiling = chooseTiling(blockRows, options.width, options.capabilities);
  return buildKernel(
    kernelName("prefill_attention", options),
    {
      doc: `Attention of up to ${options.tileRows} rows of one sequence over its keys, ${tiling.keys} keys at a time: ${describeHeads(options)}.`,
      dispatch: describeBlocks(options),
      workgroupSize: tiling.workgroupSize,
    },
    (k) => body(k, options),
  );
}

function body(k: KernelBuilder, options: AttentionOptions): void {
  const { heads, width } = options;
  const vector = headVector(width);
  const query = k.read("query", vectorOf("f32", vector));
  const groups = bindGroups(k, options);
  const attended = k.readWrite("attended", vectorOf("f32", vector));
  const control = k.read("control", "i32", "state");
  const batch = k.param("batch");

  const block = queryBlock(k, control, options);
  const ranges = namedKeyRanges(k, block, groups);
  const tiling = chooseTiling(rowBlocks(options).blockRows, width, options.capabilities);
  const gathered = attend(
    { k, options, tiling, block, queries: rowQueries(query, options), batch },
    { groups, ranges },
  );

  k.if(gathered.holds, () => {
    for (const { row, values, sum } of gathered.rows) {
      const queryRow = k.let("row", block.first.add(row));
      k.if(queryRow.lt(block.end), () => {
        const { tableRow, head } = block.split(queryRow);
        const place = tableRow
          .mul(heads)
          .add(head)
          .mul(width / vector)
          .add(gathered.headVector);
        // A row that sees no key attends to nothing; its sum is 0, and so are its values.
        attended.set(place, values.div(max(sum, leastSum)));
      });
    }
  });
}
