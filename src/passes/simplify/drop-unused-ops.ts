import type { Block, Graph, Layers, Op, ValueId } from "../../ir/graph/ops.js";
import { eachOp, eachOperand } from "../../ir/graph/walk.js";
import { definePass } from "../pass.js";

/**
 * Removes what nothing depends on.
 *
 * Before: passes leave operations behind whose results nobody reads, and layers carry values that nobody needs.
 * After:  every operation contributes to what the graph yields. The input stays.
 *
 * Mark, then sweep. A carried value lives if something reads it in a layer or behind the loop; it does not keep itself alive.
 */
export const dropUnusedOps = definePass("drop-unused-ops", (graph) => {
  const live = liveValues(graph);
  return { ...graph, body: sweep(graph.body, live) };
});

function liveValues(graph: Graph): ReadonlySet<ValueId> {
  const producers = new Map<ValueId, Op>();
  /** Carried values: entering argument or result → the loop and the place. */
  const carried = new Map<ValueId, { loop: Layers; index: number }>();
  for (const op of eachOp(graph)) {
    for (const [index, { id }] of op.results.entries()) {
      producers.set(id, op);
      if (op.kind !== "layers") continue;
      carried.set(id, { loop: op, index });
      for (const { body } of op.classes) carried.set(body.args[index]!.id, { loop: op, index });
    }
  }
  const live = new Set<ValueId>();
  const pending = [...graph.body.yields];
  for (let value = pending.pop(); value !== undefined; value = pending.pop()) {
    if (live.has(value)) continue;
    live.add(value);
    const place = carried.get(value);
    if (place !== undefined) {
      const { loop, index } = place;
      pending.push(loop.inputs[index]!, loop.results[index]!.id);
      // What a layer yields enters the next one, whatever class that is of.
      for (const { body } of loop.classes) pending.push(body.yields[index]!);
    } else {
      const producer = producers.get(value);
      if (producer !== undefined) pending.push(...eachOperand(producer));
    }
  }
  return live;
}

function sweep(block: Block, live: ReadonlySet<ValueId>): Block {
  const isLive = ({ id }: { readonly id: ValueId }) => live.has(id);
  const ops = block.ops
    .filter((op) => op.kind === "input" || op.results.some(isLive))
    .map((op): Op => {
      if (op.kind !== "layers") return op;
      // Result and arguments of a live carried value are alive together.
      const keep = op.results.map(isLive);
      const kept = <T>(list: readonly T[]) => list.filter((_, index) => keep[index]);
      return {
        ...op,
        inputs: kept(op.inputs),
        results: kept(op.results),
        classes: op.classes.map(({ name, body }) => ({
          name,
          body: sweep({ args: kept(body.args), ops: body.ops, yields: kept(body.yields) }, live),
        })),
      };
    });
  return { ...block, ops };
}
