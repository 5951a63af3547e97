/** What the analyses found, in the form that the manifest gives to run times. */
import { InternalError } from "../diagnostics/diagnostic.js";
import type { DecodeDemand, PrefillDemand } from "../passes/tokens/derive-phases.js";
import type { Retention } from "../passes/tokens/infer-retention.js";
import type { RowRules, RowSet } from "../runtime/manifest.js";

/** How long the keys of one group are kept in one layer (see `KeyStore` in the manifest for what each layout means). */
export interface KeyRetention {
  readonly layout: "forever" | "ring" | "step" | "unread";
  /** Keys that outlive a step; 0 but in a ring. */
  readonly keep: number;
  /** For ring: keys of an earlier chunk of this many positions are dead. */
  readonly chunk?: number;
}

export interface ScheduleFacts {
  /** `retention[layer][group]`, groups in the order of the graph. */
  readonly retention: readonly (readonly KeyRetention[])[];
  readonly rows: Omit<RowRules, "tileRows">;
}

/** The analyses' results for one model. */
export interface TokenAnalyses {
  readonly retention: readonly (readonly Retention[])[];
  readonly prefill: PrefillDemand;
  readonly decode: DecodeDemand;
}

export function scheduleFacts(
  { retention, prefill, decode }: TokenAnalyses,
  model: { readonly copies: number; readonly predictCopy: number },
): ScheduleFacts {
  return {
    retention: retention.map((ofLayer) => ofLayer.map(keyRetention)),
    rows: { prefill: prefillRows(prefill), decode: decodeRows(decode, model) },
  };
}

function keyRetention({ layout }: Retention): KeyRetention {
  switch (layout.kind) {
    case "forever":
    case "step":
    case "unread":
      return { layout: layout.kind, keep: 0 };
    case "ring":
      return { layout: "ring", keep: layout.slots };
    case "ring-in-chunk":
      return { layout: "ring", keep: layout.slots, chunk: layout.chunk };
  }
}

function prefillRows({ layers }: PrefillDemand): RowRules["prefill"] {
  const inputs: (readonly RowSet[])[] = [];
  const known = new Map<string, number>();
  const perLayer = layers.map(({ input }) => {
    const rows = input.map(({ group, ranges }): RowSet => ({ group, ranges }));
    const key = JSON.stringify(rows);
    if (!known.has(key)) known.set(key, inputs.push(rows) - 1);
    return known.get(key)!;
  });
  return { inputs, layers: perLayer };
}

/**
 * Copies that are needed in the fewest layers come first, so that every layer works on a suffix. A copy that leaves a layer enters the
 * next, so the number of layers says which.
 */
function decodeRows(
  { layers }: DecodeDemand,
  { copies, predictCopy }: { copies: number; predictCopy: number },
): RowRules["decode"] {
  const holds = (intervals: readonly (readonly number[])[], copy: number) =>
    intervals.some(([first, last]) => first! <= copy && copy <= last!);
  const entered = (copy: number) => layers.filter(({ kv, query }) => holds(kv, copy) || holds(query, copy)).length;
  const counts = new Map(Array.from({ length: copies }, (_, index) => [index + 1, entered(index + 1)]));
  const order = [...counts.keys()].sort(
    (a, b) => Number(a === predictCopy) - Number(b === predictCopy) || counts.get(a)! - counts.get(b)! || a - b,
  );
  if (layers.length > 0 && counts.get(predictCopy) !== layers.length) {
    throw new InternalError(`copy ${predictCopy} predicts, but does not pass all layers`);
  }
  const input = layers.map((_, layer) => order.filter((copy) => counts.get(copy)! > layer).length);
  // What leaves the last layer is the predicting copy.
  return { order, input, query: [...input.slice(1), ...(layers.length > 0 ? [1] : [])] };
}
