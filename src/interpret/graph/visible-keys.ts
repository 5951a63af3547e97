/**
 * Which keys a query sees, as stream indices (pos · K + copy - 1) in order of position.
 *
 * After group-tokens the bounds of each part are believed where it is dense and used to skip where it is ranged; before, every pair is
 * asked. The two must agree, which tests use.
 */
import { evaluate } from "../../ir/expr.js";
import type { Attend, Graph } from "../../ir/graph/ops.js";
import { sees, type Token } from "../../ir/relation/predicate.js";
import { copiesIn } from "../../runtime/key-group.js";

/** Stream indices of the keys that `query` sees among the first `positions` positions. */
export function visibleKeys(graph: Graph, attend: Attend, query: Token, positions: number): Int32Array {
  return attend.parts === undefined
    ? askEveryKey(graph, attend, query, positions)
    : byParts(graph, attend, query, positions);
}

function askEveryKey(graph: Graph, attend: Attend, query: Token, positions: number): Int32Array {
  const visible: number[] = [];
  for (let pos = 0; pos < positions; pos++) {
    for (let copy = 1; copy <= graph.copies; copy++) {
      if (sees(attend.predicate, query, { pos, copy })) visible.push(pos * graph.copies + copy - 1);
    }
  }
  return Int32Array.from(visible);
}

function byParts(graph: Graph, attend: Attend, query: Token, positions: number): Int32Array {
  const visible: number[] = [];
  const symbols = { q_pos: query.pos, q_copy: query.copy };
  for (const [index, part] of attend.parts!.entries()) {
    if (part.density === "empty") continue;
    const group = graph.groups![index]!;
    const { firstCopy, firstPos = 0, endPos = positions } = group;
    const copies = copiesIn(group);
    const lo = Math.max(firstPos * copies, evaluate(part.lo, symbols));
    const hi = Math.min(positions * copies, endPos * copies, evaluate(part.hi, symbols));
    for (let i = lo; i < hi; i++) {
      const key = { pos: Math.floor(i / copies), copy: firstCopy + (i % copies) };
      if (part.density === "dense" || sees(attend.predicate, query, key)) {
        visible.push(key.pos * graph.copies + key.copy - 1);
      }
    }
  }
  return Int32Array.from(visible);
}
