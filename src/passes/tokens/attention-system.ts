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
