import fc from "fast-check";
import type { AttentionSystem } from "../../../src/passes/tokens/attention-system.js";
import { arbitraryCausalPredicate } from "../relation/arbitrary-predicate.js";

/** Small models with one or two random causal relations, some layers of which may have no attention. */
export const arbitrarySystem: fc.Arbitrary<AttentionSystem> = fc
  .record({
    copies: fc.integer({ min: 1, max: 4 }),
    predicates: fc.array(arbitraryCausalPredicate, { minLength: 1, maxLength: 2 }),
    layers: fc.array(fc.constantFrom(0, 0, 0, 1, undefined), { minLength: 1, maxLength: 3 }),
    predicted: fc.constantFrom("last", "last", "first"),
  })
  .map(({ copies, predicates, layers, predicted }) => ({
    copies,
    predictCopy: predicted === "last" ? copies : 1,
    predicates,
    layers: layers.map((layer) => (layer === undefined ? undefined : Math.min(layer, predicates.length - 1))),
  }));
