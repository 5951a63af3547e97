import { add, evaluate, substitute } from "../../ir/expr.js";
import type { Graph, Op, RopeIndex, ValueId } from "../../ir/graph/ops.js";
import { type Replacement, replacedBy, rewriteGraph } from "../../ir/graph/rewrite.js";
import { definePass } from "../pass.js";

/**
 * Works out what is known before the model runs.
 *
 * Before: library functions leave traces behind: a factor of 1, a scale of a scale, heads split and merged again, a rotation index
 *         whose copy can only be 1.
 * After:  identities are gone, scales are single, rotation indexes are in simplest form.
 */
export const foldConstants = definePass("fold-constants", (graph) => {
  const producers = new Map<ValueId, Op>();
  return rewriteGraph(graph, (op) => {
    const result = folded(graph, op, (value) => producers.get(value));
    if (result !== undefined && result.kind !== "replaced")
      for (const { id } of result.results) producers.set(id, result);
    return result;
  });
});

function folded(graph: Graph, op: Op, producerOf: (value: ValueId) => Op | undefined): Replacement {
  switch (op.kind) {
    case "scale": {
      const inner = producerOf(op.input);
      const single =
        inner?.kind === "scale"
          ? {
              ...op,
              input: inner.input,
              factor: inner.factor * op.factor,
              offset: inner.offset * op.factor + op.offset,
            }
          : op;
      return single.factor === 1 && single.offset === 0 ? replacedBy(single.input) : single;
    }
    case "unary": {
      const inner = producerOf(op.input);
      const twice = op.function === "negate" && inner?.kind === "unary" && inner.function === "negate";
      return twice ? replacedBy(inner.input) : op;
    }
    case "split-heads": {
      const inner = producerOf(op.input);
      if (inner?.kind !== "merge-heads") return op;
      const before = producerOf(inner.input)?.results.find(({ id }) => id === inner.input)?.type.shape[1];
      return before === op.heads ? replacedBy(inner.input) : op;
    }
    case "merge-heads": {
      const inner = producerOf(op.input);
      return inner?.kind === "split-heads" ? replacedBy(inner.input) : op;
    }
    case "rope": {
      const index = simplestIndex(op.index, graph.copies);
      const still = op.frequencies.every((frequency) => frequency === 0) || (index.byPos === 0 && index.byCopy === 0);
      return still && op.amplitude === 1 ? replacedBy(op.input) : { ...op, index };
    }
    default:
      return op;
  }
}

/** Constants move to the part over positions; with a single copy so does everything. */
function simplestIndex({ byPos, byCopy }: RopeIndex, copies: number): RopeIndex {
  const first = evaluate(byCopy, { copy: 1 });
  const constant = Array.from({ length: copies }, (_, index) => evaluate(byCopy, { copy: index + 1 }));
  return constant.every((value) => value === first)
    ? { byPos: add(substitute(byPos, {}), first), byCopy: 0 }
    : { byPos: substitute(byPos, {}), byCopy: substitute(byCopy, {}) };
}
