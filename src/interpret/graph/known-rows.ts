/** Graphs as `execute` takes them: every operation says in which rows it is needed. */
import type { Graph } from "../../ir/graph/ops.js";
import { annotateRows } from "../../passes/tokens/annotate-rows.js";

/** The graph itself where its operations know their rows, else the graph with them. */
export function withKnownRows(graph: Graph): Graph {
  return graph.body.ops.some((op) => op.rows !== undefined) ? graph : annotateRows.run(graph);
}
