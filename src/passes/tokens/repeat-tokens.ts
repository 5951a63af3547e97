import type { BlockBuilder, PlainOp } from "../../ir/graph/builder.js";
import type { Graph, Op, RepeatTokens, ValueId } from "../../ir/graph/ops.js";
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

  // Where the model repeats an embedding at once, its repetition stays, name and all; it only moves up.
  const embeddings = new Set(graph.body.ops.flatMap((op) => (op.kind === "embed" ? [op.results[0]!.id] : [])));
  const direct = new Map<ValueId, RepeatTokens>();
  for (const op of graph.body.ops) {
    if (op.kind === "repeat-tokens" && embeddings.has(op.input) && !direct.has(op.input)) direct.set(op.input, op);
  }
  const moved = new Set([...direct.values()].map((op) => op.results[0]!.id));

  return rewriteGraph(
    graph,
    (op, build) => {
      if (op.kind === "repeat-tokens") return moved.has(op.results[0]!.id) ? undefined : replacedBy(op.input);
      if (op.kind === "embed") {
        const [input] = build.append(op, op.results) as [ValueId];
        const stated = direct.get(input);
        return replacedBy(
          stated === undefined
            ? build.add({ kind: "repeat-tokens", input, copies: graph.copies }, "tokens")
            : build.append(stated, stated.results)[0]!,
        );
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

  const movable = (value: ValueId): Op | undefined => {
    const producer = producers.get(value);
    const kind = producer?.kind ?? "input";
    return ["layers", "repeat-tokens", "input", "weight"].includes(kind) ? undefined : producer;
  };
  const selectedValue = (value: ValueId, build: BlockBuilder): ValueId => {
    if (!hasRows(build.typeOf(value))) return value;
    let result = selected.get(value);
    if (result === undefined) {
      const producer = movable(value);
      if (producer === undefined) {
        result = build.add({ kind: "select-copy", input: value, copy: graph.predictCopy }, "predicted");
      } else {
        const { results, ...op } = mapOperands(producer, (operand) => selectedValue(operand, build));
        result = build.add(op as PlainOp, results[0]!.name);
      }
      selected.set(value, result);
    }
    return result;
  };

  return rewriteGraph(graph, (op, build) => {
    for (const { id } of op.results) producers.set(id, op);
    if (op.kind !== "select-copy") return op;
    const known = selected.get(op.input);
    if (known !== undefined) return replacedBy(known);
    selected.set(op.input, op.results[0]!.id);
    const producer = movable(op.input);
    if (producer === undefined) return op;
    // What is selected last takes the name that the model gave to the selection.
    return { ...mapOperands(producer, (operand) => selectedValue(operand, build)), results: op.results };
  });
}
