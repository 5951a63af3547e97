/**
 * Which products take attention as decode leaves it, in splits, and merge it for themselves.
 *
 * That saves the dispatch of a merge, and costs every workgroup of the product its own pass over the splits: beside the weights of its
 * few columns it reads a whole row of attention for every row and split. For a small model the dispatch is the dearer of the two; for
 * wide rows, many rows or many splits it is the passes.
 *
 * Where a dispatch may begin while the one before it runs, none does. A dispatch is cheap there, and the product has its first weights
 * on the way while the merge runs, whereas a loop over splits for every few inputs is a chain of loads that wait for each other.
 */
import { type Expr, le, mul } from "../ir/expr.js";
import type { Block, CachedAttention, FusedLinear, Graph, Op, StoreKeys } from "../ir/graph/ops.js";
import { rowWidth } from "../ir/graph/types.js";
import { eachBlock, eachOperand } from "../ir/graph/walk.js";
import type { Capabilities } from "../ir/kernel/capabilities.js";
import type { AttentionShape } from "../kernels/attention/options.js";
import type { BindingSource } from "../runtime/manifest.js";
import type { DeferredNorms } from "./deferred-norms.js";
import { partialsBuffers } from "./place-values.js";

export interface Merge {
  readonly attention: CachedAttention;
  readonly shape: AttentionShape;
  /** In `row_count` and `splits`: not 0 where the product merges. */
  readonly when: Expr;
  /** Most rows that `when` lets through. */
  readonly mostRows: number;
}

/**
 * Bytes that all workgroups together read again for one split of one row: about what a large GPU reads from its second-level cache in
 * the time of a dispatch.
 */
const rereadBytes = 2 ** 24;
/** More rows are better merged once, by themselves: the kernel writes the loop over splits out for each of them. */
const cheaplyMergedRows = 4;
/** Two of the largest blocks of the skinny product; more rows go to tiles, which do not merge. */
const mergeableRows = 32;
/** Splits times rows; beyond it the loops over splits are longer than the product. */
const mostParts = 64;

/**
 * Dispatches of a layer in decode that the plan keeps to, whatever a merge costs: on WebGPU every dispatch costs time on the CPU. A layer
 * of the usual shape has five and can afford a merge by itself.
 */
const mostDispatches = 6;

/** Products whose input is an attention that nothing else reads. */
export function mergedAttentions(
  graph: Graph,
  deferred: DeferredNorms,
  { dependentLaunch }: Capabilities,
  maxStorageBuffers: number,
): ReadonlyMap<FusedLinear, Merge> {
  if (dependentLaunch) return new Map();
  const ownDispatch = (op: Op): boolean => {
    if (op.kind === "store-keys") return mostBindingsOf(op, graph) > maxStorageBuffers;
    return op.kind !== "weight" && deferred.ofNorm(op) === undefined;
  };
  const merges = new Map<FusedLinear, Merge>();
  for (const block of eachBlock(graph)) {
    for (const attention of block.ops) {
      if (attention.kind !== "cached-attention") continue;
      const reader = onlyReader(block, attention);
      if (reader === undefined || reader.norm !== undefined) continue;
      const { heads, kvHeads, width } = attention;
      const shape = { heads, kvHeads, width };
      if (block.ops.filter(ownDispatch).length + 1 > mostDispatches) {
        merges.set(reader, { attention, shape, when: le("row_count", mergeableRows), mostRows: mergeableRows });
        continue;
      }
      // A workgroup of the product has 4 columns and reads 4 bytes of every input, so both fours cancel.
      const reread = heads * width * rowWidth(reader.results[0]!.type);
      const most = Math.min(mostParts, Math.floor(rereadBytes / reread));
      if (most < 1) continue;
      const when = mul(le("row_count", cheaplyMergedRows), le(mul("row_count", "splits"), most));
      merges.set(reader, { attention, shape, when, mostRows: cheaplyMergedRows });
    }
  }
  return merges;
}

/** What attention binds at most if it finishes queries and keys itself: sources, gains, angles, stores, results and control words. */
function mostBindingsOf({ query, key, value, ...op }: StoreKeys, { groups = [] }: Graph): number {
  const sources = new Set([query, key, value].map((slice) => slice.value)).size;
  const gains = op.queryNorm || op.keyNorm ? 1 : 0;
  const rope = op.queryRope ?? op.keyRope;
  const angles = rope === undefined ? 0 : rope.index.byCopy === 0 ? 1 : 2;
  return sources + gains + angles + groups.length + 3;
}

function onlyReader(block: Block, attention: CachedAttention): FusedLinear | undefined {
  const value = attention.results[0]!.id;
  const readers = block.ops.filter((op) => [...eachOperand(op)].includes(value));
  const [reader] = readers;
  if (readers.length !== 1 || reader?.kind !== "fused-linear" || block.yields.includes(value)) return undefined;
  const uses = [...eachOperand(reader)].filter((operand) => operand === value).length;
  return uses === 1 && reader.input === value && reader.rows === attention.rows ? reader : undefined;
}

export const partialsBindings: Readonly<Record<string, BindingSource>> = {
  partial_values: { kind: "buffer", name: partialsBuffers.values },
  partial_stats: { kind: "buffer", name: partialsBuffers.stats },
};
