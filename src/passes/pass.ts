/**
 * What a pass is, and the runner that verifies and traces between passes.
 */
import type { Graph } from "../ir/graph/ops.js";
import { type Stage, stages, verifyGraph } from "../ir/graph/verify.js";

/** A function from graph to graph with a name: dumps, `--print-after` and timings use it. */
export interface Pass {
  readonly name: string;
  /** The stage whose promises hold afterwards, if the pass brings the graph to a new one. */
  readonly establishes?: Stage;
  readonly run: (graph: Graph) => Graph;
}

export function definePass(name: string, run: (graph: Graph) => Graph, establishes?: Stage): Pass {
  return { name, run, establishes };
}

/** Called after every pass, with the verified graph and the time the pass took; first with `lower` and the graph given. */
export type PassTrace = (pass: string, graph: Graph, milliseconds: number) => void;

/** Runs passes in order. Verifies after each, so a bug is reported at the pass that made it. */
export function runPasses(passes: readonly Pass[], graph: Graph, trace?: PassTrace, from: Stage = "lower"): Graph {
  let stage = from;
  verifyGraph(graph, stage);
  trace?.("lower", graph, 0);
  let current = graph;
  for (const pass of passes) {
    const start = performance.now();
    current = pass.run(current);
    const milliseconds = performance.now() - start;
    if (pass.establishes !== undefined && stages.indexOf(pass.establishes) > stages.indexOf(stage)) {
      stage = pass.establishes;
    }
    verifyGraph(current, stage);
    trace?.(pass.name, current, milliseconds);
  }
  return current;
}
