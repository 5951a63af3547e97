import { replaceLeaves } from "../../ir/graph/walk.js";
import { largestEpilogue, sizeOf } from "./epilogues.js";
import { defineFusion } from "./producers.js";

/**
 * One elementwise operation instead of a chain.
 *
 * Before: `%a = map silu(%g)`, `%b = map %a * %u`, where nothing else reads `%a`.
 * After:  `%b = map silu(%g) * %u`.
 */
export const mergeMaps = defineFusion("merge-maps", "map", (map, producers) => {
  const expression = replaceLeaves(map.expression, (leaf) => {
    const inner = leaf.kind === "operand" ? producers.ofOnly(leaf.value, "map") : undefined;
    return inner?.expression ?? leaf;
  });
  return sizeOf(expression) <= largestEpilogue ? { ...map, expression } : map;
});
