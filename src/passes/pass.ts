/**
 * What a pass is, and the runner that verifies and traces between passes.
 */
import type { Graph } from "../ir/graph/ops.js";
import { type Guarantee, verifyGraph } from "../ir/graph/verify.js";

/** A function from graph to graph with a name: dumps, `--print-after` and timings use it. */
export interface Pass {
  readonly name: string;
  /** What holds from here on, and is verified after this pass and every later one. */
  readonly establishes?: Guarantee;
  readonly run: (graph: Graph) => Graph;
}

export function definePass(name: string, run: (graph: Graph) => Graph, establishes?: Guarantee): Pass {
  return { name, run, establishes };
}

/** Called after every pass, with the verified graph and the time the pass took; first with `lower` and the graph given. */
export type PassTrace = (pass: string, graph: Graph, milliseconds: number) => void;

/** Runs passes in order. Verifies after each, so a bug is reported at the pass that made it. `known` already holds at the start. */
export function runPasses(
  passes: readonly Pass[],
  graph: Graph,
  trace?: PassTrace,
  known: readonly Guarantee[] = [],
): Graph {
  const guarantees = new Set(known);
  verifyGraph(graph, guarantees, "lower");
  trace?.("lower", graph, 0);
  let current = graph;
  for (const pass of passes) {
    const start = performance.now();
    current = pass.run(current);
    const milliseconds = performance.now() - start;
    if (pass.establishes !== undefined) guarantees.add(pass.establishes);
    verifyGraph(current, guarantees, pass.name);
    trace?.(pass.name, current, milliseconds);
  }
  return current;
}
