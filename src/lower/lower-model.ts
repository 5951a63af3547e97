/**
 * Checked model to graph IR.
 *
 * The checker has resolved names, functions, `if`s and shapes; what is left is to give values ids, sizes numbers and relations
 * places in the graph's list. Layers stay a loop with one body per class.
 */
import type { CheckedModel } from "../dsl/check/checked-model.js";
import { GraphBuilder } from "../ir/graph/builder.js";
import type { Graph } from "../ir/graph/ops.js";
import { AttendTable } from "./attend-table.js";
import { BodyLowering } from "./lower-body.js";

export function lowerModel(model: CheckedModel): Graph {
  const graph = new GraphBuilder();
  const attends = new AttendTable();
  const top = new BodyLowering(graph.top, model.body, { copies: model.copies, attends });
  top.lowerOps();
  const logits = graph.top.add(
    { kind: "select-copy", input: top.valueOf(model.logits), copy: model.predictCopy, origin: model.logits.span },
    "logits",
  );
  return graph.finish([logits], {
    name: model.name,
    parameters: Object.fromEntries(
      model.params.flatMap(({ name, value }) => (typeof value === "number" ? [[name, value]] : [])),
    ),
    copies: model.copies,
    predictCopy: model.predictCopy,
    attends: attends.attends,
    origin: model.span,
  });
}
