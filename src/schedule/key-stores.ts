/** Where the layers keep their keys and values, and how many of them. */
import { unreachable } from "../diagnostics/diagnostic.js";
import { type Expr, min, mul } from "../ir/expr.js";
import type { Graph, KeyGroup, Layers } from "../ir/graph/ops.js";

import type { FloatType } from "../ir/kernel/types.js";
import { copiesIn } from "../runtime/key-group.js";
import type { KeyStore, Manifest } from "../runtime/manifest.js";
import type { KeyRetention, ScheduleFacts } from "./facts.js";

/** One list of stores, a store for each group, for every kind of layer; equal layers share a list. */
export function keyStores(
  graph: Graph,
  facts: ScheduleFacts,
  loop: Layers | undefined,
  element: FloatType,
): Manifest["stores"] {
  const distinct: (readonly KeyStore[])[] = [];
  const known = new Map<string, number>();
  const layers = (loop?.classOf ?? []).map((graphClass, layer) => {
    const store = loop!.classes[graphClass]!.body.ops.find((op) => op.kind === "store-keys");
    const kvWidth = store === undefined ? 0 : store.key.heads * store.width;
    const stores = graph.groups!.map((members, group): KeyStore => {
      const { layout, keep, chunk } = facts.retention[layer]![group]!;
      const slots = slotsOf({ layout, keep }, members);
      return { group: members.name, layout, element, kvWidth, keep, ...(chunk !== undefined && { chunk }), slots };
    });
    const key = JSON.stringify(stores);
    if (!known.has(key)) known.set(key, distinct.push(stores) - 1);
    return known.get(key)!;
  });
  return { distinct, layers };
}

/** A ring holds what it keeps and the keys of the step that reads it. */
function slotsOf({ layout, keep }: KeyRetention, group: KeyGroup): Expr {
  const copies = copiesIn(group);
  switch (layout) {
    case "forever":
      return mul(group.endPos === undefined ? "context" : min("context", group.endPos), copies);
    case "ring":
      return keep + copies;
    case "step":
      return copies;
    case "unread":
      return 0;
    default:
      return unreachable(layout);
  }
}
