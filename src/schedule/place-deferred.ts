import type { Graph } from "../ir/graph/ops.js";
import { type DeferralRoom, DeferredNorms, deferredNorms } from "./deferred-norms.js";
import { type Places, placeValues } from "./place-values.js";

/**
 * The norms that decode leaves to products, and places for all values under which that works.
 *
 * @param room what products can take on; none are left to them without it
 */
export function placeWithDeferred(
  graph: Graph,
  room: DeferralRoom | undefined,
): { readonly deferred: DeferredNorms; readonly places: Places } {
  const all = room === undefined ? new DeferredNorms([]) : deferredNorms(graph, room);
  const places = placeValues(graph, all);
  // What only the next layer computes cannot be moved at the end of this one.
  const settled = all.across.length === 0 || places.afterLayer.every((moves) => moves.length === 0);
  return settled ? { deferred: all, places } : { deferred: all.within, places: placeValues(graph, all.within) };
}
