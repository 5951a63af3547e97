/**
 * What is wrong with the relations of a model, in its own words. Takes a graph as it was lowered, before any pass.
 */
import type { Diagnostic } from "../diagnostics/diagnostic.js";
import type { Graph } from "../ir/graph/ops.js";
import { attentionSystem } from "./tokens/attention-system.js";
import { checkRelation } from "./tokens/check-relation.js";

export const checkTokens = (graph: Graph): Diagnostic[] => checkRelation(attentionSystem(graph, { asStated: true }));
