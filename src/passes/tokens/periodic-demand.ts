/**
 * The rows of a prompt where relations repeat along the positions, found by following them for every place of the end in the period.
 *
 * Chunks that cut through a position make sets of quotients of quotients, one more per layer, and exact reasoning about them soon costs
 * too much. For a given place of the last position the same sets are a few numbers: rows near the end, and a pattern before them. The
 * answers for all places together are the answer for every prompt, since a prompt that is longer by a period has its rows a period later.
 */
import { constant } from "../../ir/relation/affine.js";
import { contains, intersect, isSubset, nothing } from "../../ir/relation/integer-set.js";
import { spend } from "../../ir/relation/work.js";
import { copiesIn } from "../../runtime/key-group.js";
import type { DemandAnalysis, GroupRows } from "./demand.js";
import type { LayerDemand } from "./derive-phases.js";
import { N, rowsBetween, START } from "./group-relation.js";
import type { KeyGroup } from "./group-tokens.js";
import { joinPlaces } from "./join-places.js";
import { liveKeys } from "./live-keys.js";
import type { PeriodicRelation } from "./periodic-relation.js";
import { hasRow, listRows, type PromptEnd, type RepeatingRows } from "./repeating-rows.js";
import type { Repetition } from "./repetition.js";
import { type RowSet, rowSetOf } from "./row-set.js";
import type { SightTable } from "./sight-table.js";

/** The rows of a layer for one place of the end. */
interface LayerRows {
  readonly kv: RepeatingRows;
  readonly query: RepeatingRows;
  readonly input: RepeatingRows;
}

/** Undefined where a relation does not repeat, or its rows do not in a way that is simple to tell. `lasting`: see `lastingKeys`. */
export function periodicDemand(analysis: DemandAnalysis, lasting: readonly GroupRows[]): LayerDemand[] | undefined {
  const { system, groups, periodic } = analysis;
  if (periodic === undefined) return undefined;
  const { period } = periodic.repetition;
  const places = Array.from({ length: period }, (_, place) => rowsAt(analysis, periodic, place));
  const cached = cachedGroups(analysis, periodic, lasting);
  const rowSets = (layer: number, part: keyof LayerRows): RowSet[] | undefined => {
    const sets: RowSet[] = [];
    for (const [index, group] of groups.entries()) {
      const rows = joinPlaces(
        group,
        places.map(({ end, layers }) => ({ end, rows: layers[layer]![part] })),
      );
      if (rows === undefined) return undefined;
      sets.push(rowSetOf(group, cached.has(index) ? intersect(rows, rowsBetween(group, START, N)) : rows));
    }
    return sets;
  };

  const layers: LayerDemand[] = [];
  for (const layer of system.layers.keys()) {
    const [kv, query, input] = [rowSets(layer, "kv"), rowSets(layer, "query"), rowSets(layer, "input")];
    if (kv === undefined || query === undefined || input === undefined) return undefined;
    const kept = groups.map((group, index) => rowSetOf(group, cached.has(index) ? lasting[layer]![index]! : nothing));
    layers.push({ kv, query, input, cached: kept });
  }
  return layers;
}

/** The rows of all layers of a prompt that ends at a place of the period. */
function rowsAt(
  analysis: DemandAnalysis,
  periodic: PeriodicRelation,
  place: number,
): { readonly end: PromptEnd; readonly layers: readonly LayerRows[] } {
  const { layers, predicates, predictCopy } = analysis.system;
  const { period, reach } = periodic.repetition;
  const furtherPerLayer = reach + 2 * period;
  const end = periodic.endAt(place, (layers.length + 2) * furtherPerLayer);
  const live = new Map<GroupRows, RepeatingRows>();
  let query = listRows(end, 1 + period, (distance, copy) => distance === 0 && copy === predictCopy);
  const found: LayerRows[] = [];
  for (let layer = layers.length - 1; layer >= 0; layer--) {
    const which = layers[layer];
    const ofLayer = liveKeys(analysis, layer);
    const later = live.get(ofLayer) ?? liveRows(analysis, ofLayer, end, 1 + furtherPerLayer);
    live.set(ofLayer, later);
    const distances = Math.max(query.listed, later.listed) + furtherPerLayer;
    const seen =
      which === undefined
        ? () => false
        : keysSeen(query, periodic.sight(predicates[which]!), end, periodic.repetition, distances);
    const queries = query;
    const kv = listRows(end, distances, (distance, copy) => seen(distance, copy) || hasRow(later, end, distance, copy));
    const input = listRows(
      end,
      distances,
      (distance, copy) => hasRow(kv, end, distance, copy) || hasRow(queries, end, distance, copy),
    );
    found.unshift({ kv, query, input });
    query = input;
  }
  return { end, layers: found };
}

function liveRows({ groups }: DemandAnalysis, live: GroupRows, end: PromptEnd, distances: number): RepeatingRows {
  return listRows(end, distances, (distance, copy) => {
    const index = groups.findIndex(({ firstCopy, lastCopy }) => firstCopy <= copy && copy <= lastCopy);
    const row = (end.last - distance) * copiesIn(groups[index]!) + copy - groups[index]!.firstCopy;
    spend(live[index]!.length);
    return contains(live[index]!, { n: end.last + 1, "k.row": row });
  });
}

/** The keys that some query sees, for distances below `distances`. These reach beyond what is listed of the queries, which then repeat. */
function keysSeen(
  queries: RepeatingRows,
  sight: SightTable,
  end: PromptEnd,
  { period, reach }: Repetition,
  distances: number,
): (distance: number, copy: number) => boolean {
  const { copies, last } = end;
  const seen = new Uint8Array(distances * copies);
  /** [place][copy - 1]: the first distance from which on all keys of the place are seen. */
  const allFrom = new Float64Array(period * copies).fill(Number.POSITIVE_INFINITY);
  for (let distance = 0; distance < distances; distance++) {
    const place = (last - distance) % period;
    for (let copy = 1; copy <= copies; copy++) {
      if (!hasRow(queries, end, distance, copy)) continue;
      spend(Math.ceil((sight.distances * copies) / 512));
      for (let back = 0; back < sight.distances; back++) {
        const at = distance + back;
        for (let ofKey = 1; ofKey <= copies; ofKey++) {
          if (!sight.sees(place, copy, back, ofKey)) continue;
          if (at < distances) seen[at * copies + ofKey - 1] = 1;
          // From `reach` on, the places decide.
          const known = ((last - at) % period) * copies + ofKey - 1;
          if (back >= reach && at < allFrom[known]!) allFrom[known] = at;
        }
      }
    }
  }
  return (distance, copy) =>
    seen[distance * copies + copy - 1] !== 0 || distance >= allFrom[((last - distance) % period) * copies + copy - 1]!;
}

/**
 * The groups whose keys count as cached before `start`: all their keys last in every layer, and their queries see only keys of such
 * groups. Then what is cached saves their own rows and no others, so that a plan without it needs no more than a new beginning.
 */
function cachedGroups(
  { system, groups }: DemandAnalysis,
  periodic: PeriodicRelation,
  lasting: readonly GroupRows[],
): ReadonlySet<number> {
  const cached = new Set(groups.keys());
  for (const [index, group] of groups.entries()) {
    const all = rowsBetween(group, constant(0), START);
    const lasts = (layer: number) => system.layers[layer] === undefined || isSubset(all, lasting[layer]![index]!);
    if (![...system.layers.keys()].every(lasts)) cached.delete(index);
  }
  const used = new Set(system.layers.filter((which) => which !== undefined));
  const copiesOf = (isMeant: boolean) =>
    groups.flatMap(({ firstCopy, lastCopy }, index) =>
      cached.has(index) === isMeant ? Array.from({ length: lastCopy - firstCopy + 1 }, (_, at) => firstCopy + at) : [],
    );
  const seesOthers = (group: KeyGroup) =>
    [...used].some((which) =>
      seesSome(periodic.sight(system.predicates[which]!), periodic.repetition.period, group, copiesOf(false)),
    );
  for (let before = -1; before !== cached.size; ) {
    before = cached.size;
    for (const index of [...cached]) if (seesOthers(groups[index]!)) cached.delete(index);
  }
  return cached;
}

/** Whether a query of the group sees a key of one of the copies. */
function seesSome(sight: SightTable, period: number, group: KeyGroup, keys: readonly number[]): boolean {
  for (let place = 0; place < period; place++) {
    for (let copy = group.firstCopy; copy <= group.lastCopy; copy++) {
      for (let distance = 0; distance < sight.distances; distance++) {
        if (keys.some((ofKey) => sight.sees(place, copy, distance, ofKey))) return true;
      }
    }
  }
  return false;
}
