import type { Block, Graph, Op, RowClass, ValueId } from "../../ir/graph/ops.js";
import { eachOperand } from "../../ir/graph/walk.js";
import { definePass } from "../pass.js";

/**
 * Says for every operation in which rows of its layer it is needed (the graph half of deriving the phases; which rows those are, by
 * number, comes from the demand analysis).
 *
 * Before: operations stand over all tokens. Inputs and weights have no rows, before or after.
 * After:  an operation of a layer whose result reaches a key or a value is needed in the layer's `input` rows; one that only
 *         reaches the query, or stands behind attention, in its `query` rows. What follows the layers is needed in the `output` rows.
 *
 * Found by walking backwards from what is yielded, as demand flows: each reader passes on the rows it needs.
 */
export const annotateRows = definePass("derive-phases", (graph) => annotated(graph), "derive-phases");

const narrowness: Record<RowClass, number> = { input: 0, query: 1, output: 2 };

function annotated(graph: Graph): Graph {
  const needed = new Map<ValueId, RowClass>();
  const need = (value: ValueId, rows: RowClass) => {
    const before = needed.get(value);
    if (before === undefined || narrowness[rows] < narrowness[before]) needed.set(value, rows);
  };
  const passOn = (op: Op, rows: RowClass) => {
    if (op.kind === "attention") {
      need(op.query, "query");
      need(op.key, "input");
      need(op.value, "input");
    } else {
      // The loop reads what enters it in all rows that enter its first layer.
      for (const operand of eachOperand(op)) need(operand, op.kind === "layers" ? "input" : rows);
    }
  };
  const annotateBlock = (block: Block, leaves: RowClass): Block => {
    for (const value of block.yields) need(value, leaves);
    const ops = block.ops.toReversed().map((op): Op => {
      if (op.kind === "input" || op.kind === "weight") return op;
      // Nobody needs a dead operation; the narrowest rows do it least harm.
      const wanted = op.results
        .map(({ id }) => needed.get(id) ?? leaves)
        .reduce((widest, rows) => (narrowness[rows] < narrowness[widest] ? rows : widest), leaves);
      const rows = op.kind === "layers" ? "input" : wanted;
      passOn(op, rows);
      if (op.kind !== "layers") return { ...op, rows };
      // A value from outside is read in the input rows of layers, whatever reads it inside: it exists once for all of them.
      const inner = new Set<ValueId>();
      const classes = op.classes.map(({ name, body }) => {
        for (const each of [...body.args, ...body.ops.flatMap((one) => one.results)]) inner.add(each.id);
        const result = { name, body: annotateBlock(body, "query") };
        for (const one of body.ops)
          for (const operand of eachOperand(one)) if (!inner.has(operand)) need(operand, "input");
        for (const value of body.yields) if (!inner.has(value)) need(value, "input");
        return result;
      });
      return { ...op, rows, classes };
    });
    return { ...block, ops: ops.toReversed() };
  };
  return { ...graph, body: annotateBlock(graph.body, "output") };
}
