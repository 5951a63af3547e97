/**
 * Everything the compiler derives from who attends to whom: the facts beside the graph.
 */
import { type Diagnostic, InternalError } from "../diagnostics/diagnostic.js";
import type { Graph } from "../ir/graph/ops.js";
import { type AttentionSystem, attentionSystem, type SystemOptions } from "./tokens/attention-system.js";
import { DemandAnalysis } from "./tokens/demand.js";
import { type DecodeDemand, deriveDecode, derivePrefill, type PrefillDemand } from "./tokens/derive-phases.js";
import type { KeyGroup } from "./tokens/group-tokens.js";
import { inferRetention, type Retention } from "./tokens/infer-retention.js";

export interface TokenFacts {
  readonly system: AttentionSystem;
  readonly groups: readonly KeyGroup[];
  /** How long keys are kept: `retention[layer][group]`. */
  readonly retention: readonly (readonly Retention[])[];
  /** The rows of a prefill slice. */
  readonly prefill: PrefillDemand;
  /** The copies of a decode step. */
  readonly decode: DecodeDemand;
  /** A warning where the relations were too costly: the rest is right, but not the least that is needed. */
  readonly approximation?: Diagnostic;
}

/** Takes a graph after group-tokens. The analyses share their intermediate results. */
export function analyseTokens(graph: Graph, options: SystemOptions = {}): TokenFacts {
  const { groups } = graph;
  if (groups === undefined) throw new InternalError("tokens are not grouped");
  const system = attentionSystem(graph, options);
  const analysis = new DemandAnalysis(system, groups);
  const retention = inferRetention(system, groups, analysis);
  const facts = {
    system,
    groups,
    retention,
    prefill: derivePrefill(system, groups, analysis, retention),
    decode: deriveDecode(system, groups, analysis),
  };
  const { approximation } = analysis;
  return approximation === undefined ? facts : { ...facts, approximation };
}
