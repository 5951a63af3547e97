import type { Graph } from "../ir/graph/ops.js";
import type { SymbolInfo } from "../runtime/manifest.js";
import { longestContext } from "./longest-context.js";

/** What a loader chooses or is told. */
export const symbolInfos = (graph: Graph): readonly SymbolInfo[] => [
  { name: "batch", doc: "sequences that run side by side", min: 1, max: 1024 },
  { name: "context", doc: "positions that a sequence may grow to", min: 1, max: longestContext(graph) },
  { name: "slice", doc: "most positions of one prefill slice", min: 1, max: 1 << 16 },
  { name: "splits", doc: "parts that decode attention divides the keys into", min: 1, max: 64 },
  { name: "max_rows", doc: "rows that the working buffers hold", min: 1 },
];
