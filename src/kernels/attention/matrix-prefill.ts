import { buildKernel, max } from "../../ir/kernel/builder.js";
import type { Kernel } from "../../ir/kernel/kernel.js";
import { namedKeyRanges } from "./key-ranges.js";
import { matrixAttend, pairType, storePair } from "./matrix-attend.js";
import { bindStores, tileMemory } from "./matrix-keys.js";
import { storedQueries } from "./matrix-queries.js";
import { chooseMatrixTiling, invocationsOf } from "./matrix-tiling.js";
import { type AttentionOptions, describeBlocks, describeHeads, kernelName } from "./options.js";
import { queryBlock } from "./query-block.js";
import { leastSum } from "./score.js";

/** Attention of a prefill slice as `prefillAttention` computes it, on matrix units: same bindings, same workgroups. */
export function matrixPrefillAttention(options: AttentionOptions): Kernel {
  const { heads, width } = options;
  const tiling = chooseMatrixTiling(options, 2);
  return buildKernel(
    kernelName("prefill_attention_mma", options),
    {
      doc: `Attention of up to ${options.tileRows} rows of one sequence over its keys on matrix units, ${tiling.keys} keys at a time: ${describeHeads(options)}.`,
      dispatch: describeBlocks(options),
      workgroupSize: invocationsOf(tiling),
      resident: 2,
    },
    (k) => {
      const query = k.read("query", pairType(width));
      const groups = bindStores(k, options);
      const attended = k.readWrite("attended", pairType(width));
      const control = k.read("control", "i32", "state");
      const batch = k.param("batch");
      const block = queryBlock(k, control, options);
      const ranges = namedKeyRanges(k, block, groups);
      const context = { k, options, tiling, block, batch, tiles: tileMemory(k, tiling) };
      matrixAttend(context, { groups, ranges }, { operands: storedQueries(context, query) }, (pair) => {
        const queryRow = k.let("query_row", block.first.add(pair.row));
        k.if(queryRow.lt(block.end), () => {
          const { tableRow, head } = block.split(queryRow);
          const at = k.let("place", tableRow.mul(heads).add(head).mul(width).add(pair.component));
          // A row that sees no key attends to nothing; its sum is 0, and so are its values.
          storePair(attended, width, at, { ...pair, values: pair.values.div(max(pair.sum, leastSum)) });
        });
      });
    },
  );
}
