import type { Attend, Graph } from "../../ir/graph/ops.js";
import { rewriteOps } from "../../ir/graph/rewrite.js";
import { printPredicateText } from "../../ir/graph/text/predicate-text.js";
import { eachOp } from "../../ir/graph/walk.js";
import { definePass } from "../pass.js";
import { normalForm } from "./normal-form.js";

/**
 * Gives every attention the relation its model states, in normal form.
 *
 * Before: an attend holds the predicate as it was written, with spans into the source.
 * After:  `predicate` is in normal form and `stated` keeps what was written, for explanations. Attends that come to the same are one,
 *         and those that no attention names are gone, so layers that attend alike share bounds, caches and kernels.
 */
export const buildMasks = definePass("build-masks", (graph) => {
  const used = new Set([...eachOp(graph)].flatMap((op) => (op.kind === "attention" ? [op.attend] : [])));
  const attends: Attend[] = [];
  const places = new Map<string, number>();
  const renumbered = new Map<number, number>();
  for (const [index, attend] of graph.attends.entries()) {
    if (!used.has(index)) continue;
    const predicate = normalForm(attend.predicate, graph.copies);
    const key = printPredicateText(predicate);
    if (!places.has(key)) {
      places.set(key, attends.length);
      attends.push({ ...attend, predicate, stated: attend.stated ?? attend.predicate });
    }
    renumbered.set(index, places.get(key)!);
  }
  const result: Graph = { ...graph, attends };
  return rewriteOps(result, "attention", (op) => ({ ...op, attend: renumbered.get(op.attend)! }));
});
