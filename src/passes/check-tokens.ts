/**
 * What is wrong with the relations of a model, in its own words. Takes a graph as it was lowered, before any pass.
 */
import { label } from "../diagnostics/define.js";
import type { Diagnostic } from "../diagnostics/diagnostic.js";
import type { Graph } from "../ir/graph/ops.js";
import { attentionSystem } from "./tokens/attention-system.js";
import { checkRelation } from "./tokens/check-relation.js";

export function checkTokens(graph: Graph): Diagnostic[] {
  return checkRelation(attentionSystem(graph, { asStated: true })).map((report) => withAttend(report, graph));
}

/** A report about a rule of the library, or about no part of the relation, shows the model's `attend` too, where there is one alone. */
function withAttend(report: Diagnostic, { attends }: Graph): Diagnostic {
  const origin = attends.length === 1 ? attends[0]!.origin : undefined;
  const [place] = report.labels;
  if (origin === undefined || place?.span.file.name === origin.file.name) return report;
  return { ...report, labels: [...report.labels, label(origin, place === undefined ? "" : "it comes from here")] };
}
