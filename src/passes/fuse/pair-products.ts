import type { FusedLinear, ValueId } from "../../ir/graph/ops.js";
import { elementOperands, replaceLeaves } from "../../ir/graph/walk.js";
import { accumulator, isPlainProduct } from "./epilogues.js";
import { defineFusion, type Producers } from "./producers.js";

/**
 * Products with the same input whose results meet element by element become one pass over both matrices.
 *
 * Before: `%g = fused-linear %m`, `%u = fused-linear %m`, `%a = map silu(%g) * %u`.
 * After:  `%a = fused-linear %m {weights = [gate, up], combine = pair, epilogue = silu($0) * $1}`.
 */
export const pairProducts = defineFusion("pair-products", "map", (map, producers) => {
  const pair = findPair([...new Set(elementOperands(map.expression))], producers);
  if (pair === undefined) return map;
  const { expression, ...rest } = map;
  return {
    ...rest,
    kind: "fused-linear",
    input: pair[0]!.product.input,
    weights: pair.map(({ product }) => product.weights[0]!),
    biases: pair.map(({ product }) => product.biases[0]),
    combine: "pair",
    epilogue: replaceLeaves(expression, (leaf) => {
      const index = leaf.kind === "operand" ? pair.findIndex(({ value }) => value === leaf.value) : -1;
      return index < 0 ? leaf : accumulator(index);
    }),
  };
});

interface Candidate {
  readonly value: ValueId;
  readonly product: FusedLinear;
}

/** The largest set of at least two plain products with one input. Their results have the same shape, since a map reads them. */
function findPair(values: readonly ValueId[], producers: Producers): readonly Candidate[] | undefined {
  const byInput = new Map<ValueId, Candidate[]>();
  for (const value of values) {
    const product = producers.ofOnly(value, "fused-linear");
    if (product === undefined || !isPlainProduct(product)) continue;
    byInput.set(product.input, [...(byInput.get(product.input) ?? []), { value, product }]);
  }
  const largest = [...byInput.values()].sort((a, b) => b.length - a.length)[0];
  return largest !== undefined && largest.length >= 2 ? largest : undefined;
}
