/**
 * The dense forward pass of one sequence: every token in every layer, no cache, no plan. This is what a model means.
 */
import type { Graph } from "../../ir/graph/ops.js";
import { execute } from "./execute.js";
import { KeyCache } from "./key-cache.js";
import { withKnownRows } from "./known-rows.js";
import { layerCount } from "./row-plan.js";
import { type DemandedRow, RowTable } from "./row-table.js";
import { visibleKeys } from "./visible-keys.js";
import { type WeightSource, Weights } from "./weights.js";

/** Logits [positions, vocab] of a graph after repeat-tokens, row-major. */
export function denseForward(graph: Graph, source: WeightSource, ids: readonly number[]): Float64Array {
  const layers = layerCount(graph);
  const rows = ids.flatMap((id, pos) =>
    Array.from({ length: graph.copies }, (_, index): DemandedRow => {
      const copy = index + 1;
      return { sequence: 0, pos, copy, id, depth: copy === graph.predictCopy ? layers + 1 : layers };
    }),
  );
  const caches = new Map<number, KeyCache>();
  const visible = new Map<string, Int32Array>();
  const logits = execute(
    {
      graph: withKnownRows(graph),
      weights: new Weights(graph, source),
      cache: (layer, _sequence, width) => {
        if (!caches.has(layer)) caches.set(layer, new KeyCache(width));
        return caches.get(layer)!;
      },
      visible: (attend, { pos, copy }) => {
        const key = `${attend} ${pos} ${copy}`;
        if (!visible.has(key)) visible.set(key, visibleKeys(graph, graph.attends[attend]!, { pos, copy }, ids.length));
        return visible.get(key)!;
      },
    },
    new RowTable(rows, layers),
  );
  return logits.data;
}
