import type { BlockBuilder } from "../../ir/graph/builder.js";
import type { Op, ValueId } from "../../ir/graph/ops.js";
import { replacedBy, rewriteGraph } from "../../ir/graph/rewrite.js";
import { definePass } from "../pass.js";

/**
 * Computes equal things once (common subexpressions).
 *
 * Before: two operations of the same kind read the same values with the same attributes; a tied embedding is loaded twice.
 * After:  the first one stands for both. An operation outside the layers also stands for an equal one inside.
 */
export const mergeEqualOps = definePass("merge-equal-ops", (graph) => {
  const known = new Map<BlockBuilder, Map<string, readonly ValueId[]>>();
  const find = (key: string, block: BlockBuilder | undefined): readonly ValueId[] | undefined =>
    block && (known.get(block)?.get(key) ?? find(key, block.outer));
  return rewriteGraph(graph, (op, build) => {
    if (op.kind === "layers") return op;
    const key = keyOf(op);
    const equal = find(key, build);
    if (equal !== undefined) return replacedBy(...equal);
    if (!known.has(build)) known.set(build, new Map());
    known.get(build)!.set(
      key,
      op.results.map(({ id }) => id),
    );
    return op;
  });
});

/** Everything that decides the result: kind, operands, attributes; for a weight also the shape it declares. */
function keyOf(op: Op): string {
  const { results, origin: _, rows: __, ...fields } = op;
  return JSON.stringify([fields, results.map(({ type }) => type)]);
}
