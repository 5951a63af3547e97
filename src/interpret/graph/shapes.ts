/** The declared shapes of a graph's values. */
import type { Dim, Graph, ValueId } from "../../ir/graph/ops.js";
import { eachBlock } from "../../ir/graph/walk.js";

const known = new WeakMap<Graph, ReadonlyMap<ValueId, readonly Dim[]>>();

/** Worked out once per graph: a session runs the same graph for every token. */
export function shapesOf(graph: Graph): ReadonlyMap<ValueId, readonly Dim[]> {
  const before = known.get(graph);
  if (before !== undefined) return before;
  const shapes = new Map<ValueId, readonly Dim[]>();
  for (const { args, ops } of eachBlock(graph)) {
    for (const { id, type } of [...args, ...ops.flatMap((op) => op.results)]) shapes.set(id, type.shape);
  }
  known.set(graph, shapes);
  return shapes;
}
