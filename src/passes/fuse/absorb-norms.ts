import type { FusedLinear, Graph, NormOp, Op, ValueId } from "../../ir/graph/ops.js";
import { rewriteOps } from "../../ir/graph/rewrite.js";
import { eachBlock, eachOp, eachOperand } from "../../ir/graph/walk.js";
import { definePass } from "../pass.js";
import { dropUnusedOps } from "../simplify/drop-unused-ops.js";
import { hasPlainEpilogue } from "./epilogues.js";

/**
 * Products norm their input themselves.
 *
 * Before: `%h = norm %x`, read only as the input of products.
 * After:  `fused-linear %x {norm = …}`.
 *
 * Several products each norm anew: one more pass over a row is cheaper than a dispatch and a round trip through memory. If anything
 * else reads the normed rows they are needed in memory anyway, and the norm stays for all.
 */
export const absorbNorms = definePass("absorb-norms", (graph) => {
  const norms = absorbableNorms(graph);
  const absorbed = rewriteOps(graph, "fused-linear", (product) => {
    const norm = norms.get(product.input);
    if (norm === undefined) return product;
    const prologue = { epsilon: norm.epsilon, ...(norm.weight !== undefined && { weight: norm.weight }) };
    return { ...product, input: norm.input, norm: prologue };
  });
  return dropUnusedOps.run(absorbed);
});

/** Norms of whole rows all of whose readers are products that read them as their input alone. */
function absorbableNorms(graph: Graph): ReadonlyMap<ValueId, NormOp> {
  const norms = new Map<ValueId, NormOp>();
  for (const op of eachOp(graph)) {
    if (op.kind === "norm" && (op.heads ?? 1) === 1 && hasPlainEpilogue(op)) norms.set(op.results[0]!.id, op);
  }
  for (const op of eachOp(graph)) {
    for (const value of eachOperand(op)) if (!readsAsInputOnly(op, value)) norms.delete(value);
  }
  for (const { yields } of eachBlock(graph)) for (const value of yields) norms.delete(value);
  return norms;
}

function readsAsInputOnly(op: Op, value: ValueId): op is FusedLinear {
  const places = [...eachOperand(op)].filter((operand) => operand === value).length;
  return op.kind === "fused-linear" && op.input === value && op.norm === undefined && places === 1;
}
