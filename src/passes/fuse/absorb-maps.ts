import { elementOperands, replaceLeaves } from "../../ir/graph/walk.js";
import { largestEpilogue, sizeOf } from "./epilogues.js";
import { defineFusion } from "./producers.js";

/**
 * Elementwise work becomes the epilogue of the product or norm before it: residual additions, activations, scales.
 *
 * Before: `%o = fused-linear %a`, `%y = map %x + %o`, where nothing else reads `%o`.
 * After:  `%y = fused-linear %a {epilogue = %x + $0}`.
 *
 * If several operands could take the work, the one made last does: the others are there by then.
 */
export const absorbMaps = defineFusion("absorb-maps", "map", (map, producers) => {
  const candidates = elementOperands(map.expression)
    .flatMap((value) => producers.ofOnly(value, "fused-linear", "norm") ?? [])
    .sort((a, b) => producers.placeOf(b.results[0]!.id) - producers.placeOf(a.results[0]!.id));
  const producer = candidates[0];
  if (producer === undefined) return map;
  const epilogue = replaceLeaves(map.expression, (leaf) =>
    leaf.kind === "operand" && leaf.value === producer.results[0]!.id ? producer.epilogue : leaf,
  );
  if (sizeOf(epilogue) > largestEpilogue) return map;
  return { ...producer, results: map.results, rows: map.rows, origin: producer.origin ?? map.origin, epilogue };
});
