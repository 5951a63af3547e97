import type { AttendPart, Graph } from "../../ir/graph/ops.js";
import { definePass } from "../pass.js";
import { attentionSystem } from "./attention-system.js";
import { groupTokens, type KeyGroup } from "./group-tokens.js";
import { keyBounds } from "./key-bounds.js";

/**
 * Originals and hidden tokens become groups of keys, and attention becomes one part per group.
 *
 * Before: a query may see any key that the relation allows.
 * After:  the graph names its groups, and every attend says for each of them from where to where a query looks, and whether it sees
 *         everything in between (`dense`), has to ask key by key (`ranged`) or never sees any (`empty`).
 *
 * The bounds depend on the query's position and copy alone, so they are loop bounds in kernels and nothing recompiles when the
 * length changes.
 */
export const splitAttention = definePass(
  "group-tokens",
  (graph) => {
    const groups = groupTokens(attentionSystem(graph));
    const attends = graph.attends.map((attend) => ({
      ...attend,
      parts: groups.map((group) => partOf(graph, attend.predicate, group)),
    }));
    return { ...graph, groups, attends };
  },
  "group-tokens",
);

function partOf(graph: Graph, predicate: Graph["attends"][number]["predicate"], group: KeyGroup): AttendPart {
  const { lo, hi, exact, empty } = keyBounds(predicate, graph.copies, group);
  return { group: group.name, density: empty === true ? "empty" : exact ? "dense" : "ranged", lo, hi };
}
