/**
 * Which rows a session computes and which keys it keeps: what demand and retention analyses decide, as the interpreter asks for it.
 */
import type { Graph } from "../../ir/graph/ops.js";
import type { Token } from "../../ir/relation/predicate.js";

export interface RowPlan {
  /**
   * How far a new token goes when its sequence grows from `start` to `positions` positions: it enters layers 0 … depth - 1.
   * 0: it is not computed at all. The predicting copy of the last position has depth layers + 1.
   */
  depth(token: Token, start: number, positions: number): number;
  /** The same for a decode step, which appends one position and treats all steps alike; `depth` decides when absent. */
  stepDepth?(token: Token, positions: number): number;
  /** Whether a key of a layer is still there once `positions` positions have been computed. */
  keeps(layer: number, token: Token, positions: number): boolean;
}

/** Computes every token in every layer and keeps every key: right by definition, for any predicate. */
export function computeEverything(graph: Graph): RowPlan {
  const layers = layerCount(graph);
  return {
    depth: ({ pos, copy }, _start, positions) =>
      pos === positions - 1 && copy === graph.predictCopy ? layers + 1 : layers,
    keeps: () => true,
  };
}

export function layerCount(graph: Graph): number {
  return graph.body.ops.reduce((count, op) => (op.kind === "layers" ? count + op.count : count), 0);
}
