import type { BlockBuilder } from "../../ir/graph/builder.js";
import type { Graph, Op, ValueId } from "../../ir/graph/ops.js";
import { replacedBy, rewriteGraph } from "../../ir/graph/rewrite.js";
import { hasRows } from "../../ir/graph/types.js";
import { eachOperand, mapOperands } from "../../ir/graph/walk.js";
import { definePass } from "../pass.js";

/**
 * The position axis becomes the token axis: tokens = positions × copies.
 *
 * Before: the model repeats where it likes (`repeat(embed(ids))`, `repeat(scale(embed(ids)))`), or not at all, and predicts where it
 *         likes (`predict` may wrap the norm and the head, or the head alone).
 * After:  every embedding is repeated at once, everything up to the head stands over tokens, and `select-copy` stands as early as it
 *         can, so that the head works on predicted rows only. A model that does not repeat gets one copy, so later passes know one
 *         shape of graph. What was recomputed on selected rows leaves dead operations behind; `drop-unused-ops` removes them.
 */
export const repeatTokens = definePass(
  "repeat-tokens",
  (graph) => selectEarly(repeatEmbeddings(graph)),
  "repeat-tokens",
);

function repeatEmbeddings(graph: Graph): Graph {
  const select = (build: BlockBuilder, value: ValueId) =>
    build.add({ kind: "select-copy", input: value, copy: graph.predictCopy }, "predicted");

  return rewriteGraph(
    graph,
    (op, build) => {
      if (op.kind === "repeat-tokens") return replacedBy(op.input);
      if (op.kind === "embed") {
        const [input] = build.append(op, op.results);
        return replacedBy(build.add({ kind: "repeat-tokens", input: input!, copies: graph.copies }, "tokens"));
      }
      // A value from before the repetition that is used after the selection (a skip around all layers) is selected too.
      const axes = new Set([...eachOperand(op)].map((value) => build.typeOf(value).shape[0]));
      if (axes.has("tokens") && axes.has("positions")) {
        return mapOperands(op, (value) => (build.typeOf(value).shape[0] === "tokens" ? select(build, value) : value));
      }
      return op;
    },
    // A model that neither repeats nor selects ends over tokens now; what it predicts are its positions.
    (yields, build) =>
      yields.map((value) => (build.typeOf(value).shape[0] === "tokens" ? select(build, value) : value)),
  );
}

/** Moves `select-copy` up through everything that works row by row: select(f(x)) = f(select(x)). */
function selectEarly(graph: Graph): Graph {
  const producers = new Map<ValueId, Op>();
  const selected = new Map<ValueId, ValueId>();

  const selectedValue = (value: ValueId, build: BlockBuilder): ValueId => {
    if (!hasRows(build.typeOf(value))) return value;
    const known = selected.get(value);
    if (known !== undefined) return known;
    const producer = producers.get(value);
    const movable = producer !== undefined && producer.kind !== "layers" && producer.kind !== "repeat-tokens";
    let result: ValueId;
    if (movable && producer.kind !== "input" && producer.kind !== "weight") {
      const { results, ...op } = mapOperands(producer, (operand) => selectedValue(operand, build));
      result = build.add(op, results[0]!.name);
    } else {
      result = build.add({ kind: "select-copy", input: value, copy: graph.predictCopy }, "predicted");
    }
    selected.set(value, result);
    return result;
  };

  return rewriteGraph(graph, (op, build) => {
    for (const { id } of op.results) producers.set(id, op);
    return op.kind === "select-copy" ? replacedBy(selectedValue(op.input, build)) : op;
  });
}
