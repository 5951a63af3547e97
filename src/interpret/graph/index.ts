/**
 * The float64 interpreter of graphs: the numeric oracle, and the `cpu` device.
 */
import type { Graph } from "../../ir/graph/ops.js";
import { derivedPlan } from "./derived-plan.js";
import { CpuSession, type CpuSessionOptions } from "./session.js";
import type { WeightSource } from "./weights.js";

export { denseForward } from "./dense.js";
export { derivedPlan } from "./derived-plan.js";
export type { Computed, Observer } from "./execute.js";
export { computeEverything, type RowPlan } from "./row-plan.js";
export { CpuSession, type CpuSessionOptions } from "./session.js";
export { storedTensors } from "./stored-weights.js";
export type { WeightSource, WeightTensor } from "./weights.js";

/** A session that computes and keeps what the analyses of the graph derive. The graph is grouped, before or after fuse. */
export function createCpuSession(graph: Graph, weights: WeightSource, options: CpuSessionOptions = {}): CpuSession {
  return new CpuSession(graph, weights, { plan: derivedPlan(graph), ...options });
}
