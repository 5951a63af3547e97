/** What the token analyses need of a graph: who attends to whom in each layer. */
import type { Block, Graph } from "../../ir/graph/ops.js";
import type { Predicate } from "../../ir/relation/predicate.js";

/** Everything the analyses need of a model: who attends to whom in each layer, and what is predicted. */
export interface AttentionSystem {
  /** K: every position is repeated this many times; copies count from 1. */
  readonly copies: number;
  /** The copy whose last position gives the logits; usually K. */
  readonly predictCopy: number;
  /** The distinct relations of the model. */
  readonly predicates: readonly Predicate[];
  /** Layer -> index into predicates; undefined: the layer has no attention. */
  readonly layers: readonly (number | undefined)[];
}

export interface SystemOptions {
  /** Take the predicates as they were written, with spans, so that reasons can point at them. They mean the same. */
  readonly asStated?: boolean;
}

export function attentionSystem(graph: Graph, { asStated = false }: SystemOptions = {}): AttentionSystem {
  const loop = graph.body.ops.find((op) => op.kind === "layers");
  const ofClass = loop?.classes.map(({ body }) => attendOf(body)) ?? [];
  return {
    copies: graph.copies,
    predictCopy: graph.predictCopy,
    predicates: graph.attends.map(({ predicate, stated }) => (asStated ? (stated ?? predicate) : predicate)),
    layers: loop?.classOf.map((index) => ofClass[index]) ?? [],
  };
}

/** The attend of a layer body; a layer attends once or not at all. */
function attendOf(body: Block): number | undefined {
  for (const op of body.ops) if (op.kind === "attention" || op.kind === "cached-attention") return op.attend;
  return undefined;
}
