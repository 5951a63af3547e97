/**
 * Who sees whom, for a short prompt: what a picture of the mask shows, however it is drawn.
 */
import type { Program } from "../compile.js";
import type { Attend } from "../ir/graph/ops.js";
import { sees, type Token } from "../ir/relation/predicate.js";
import { printPredicate } from "../ir/relation/print-predicate.js";
import type { KeyGroup } from "../passes/tokens/group-tokens.js";
import { keepsToken } from "../passes/tokens/keeps-token.js";
import { groupOf } from "../runtime/key-group.js";
import { textOfSpan } from "../source/source-file.js";
import { describeLayout } from "./describe-layout.js";

/** Queries and keys on a side of a tile, as far as their group reaches. */
const tileSide = 8;

/** A rectangle of the mask, ends exclusive, in places of the order. */
export interface MaskTile {
  readonly firstQuery: number;
  readonly endQuery: number;
  readonly firstKey: number;
  readonly endKey: number;
  /** `empty`: no query sees a key, so nobody visits it; `full`: every query sees every key, so nobody asks. */
  readonly density: "full" | "partial" | "empty";
}

/** One relation over the tokens of a prompt, which stand in the same order on both sides. */
export interface MaskPicture {
  /** `layers 0 to 2`. */
  readonly where: string;
  /** As it was written. */
  readonly relation: string;
  /** `originals for ever, hidden ring of 16`. */
  readonly keeping: string;
  /** `stream`: by position, then copy. `grouped`: one key group after the other, each in stream order. */
  readonly order: "stream" | "grouped";
  readonly tokens: readonly Token[];
  /** `visible[query][key]`, by places. */
  readonly visible: readonly (readonly boolean[])[];
  /** Places of keys that the cache still holds when the prompt has ended. */
  readonly kept: readonly boolean[];
  /** Places where a tile begins, and the number of tokens. */
  readonly cuts: readonly number[];
  readonly tiles: readonly MaskTile[];
}

/** For each relation and way of keeping, in the order of the first layer that has them: stream order, then grouped order. */
export function maskPictures({ graph, facts }: Program, n: number): MaskPicture[] {
  const { system, groups, retention } = facts;
  const distinct = new Map<string, number[]>();
  for (const [layer, which] of system.layers.entries()) {
    if (which === undefined) continue;
    const key = JSON.stringify([which, retention[layer]!.map(({ layout }) => layout)]);
    distinct.set(key, [...(distinct.get(key) ?? []), layer]);
  }
  return [...distinct.values()].flatMap((layers) => {
    const [first] = layers;
    const predicate = system.predicates[system.layers[first!]!]!;
    const layouts = retention[first!]!.map(({ layout }) => layout);
    const relation = writtenAs(graph.attends[system.layers[first!]!]!);
    const keeping = groups.map(({ name }, g) => `${name} ${describeLayout(layouts[g]!)}`).join(", ");
    const orders = { stream: tokensOf([{ firstCopy: 1, lastCopy: graph.copies }], n), grouped: tokensOf(groups, n) };
    return (["stream", "grouped"] as const).map((order): MaskPicture => {
      const { tokens, cuts } = orders[order];
      const visible = tokens.map((query) => tokens.map((key) => sees(predicate, query, key)));
      const kept = tokens.map((token) => {
        const g = groupOf(groups, token.pos, token.copy);
        return keepsToken(layouts[g]!, groups[g]!, token, n);
      });
      const tiles = tilesOf(visible, cuts);
      return { where: describeLayers(layers), relation, keeping, order, tokens, visible, kept, cuts, tiles };
    });
  });
}

function writtenAs({ origin, stated, predicate }: Attend): string {
  if (origin === undefined) return printPredicate(stated ?? predicate);
  return textOfSpan(origin);
}

function tokensOf(groups: readonly Omit<KeyGroup, "name">[], n: number) {
  const tokens: Token[] = [];
  const cuts: number[] = [];
  for (const { firstCopy, lastCopy, firstPos = 0, endPos = n } of groups) {
    const first = tokens.length;
    for (let pos = firstPos; pos < Math.min(n, endPos); pos++) {
      for (let copy = firstCopy; copy <= lastCopy; copy++) tokens.push({ pos, copy });
    }
    for (let cut = first; cut < tokens.length; cut += tileSide) cuts.push(cut);
  }
  return { tokens, cuts: [...cuts, tokens.length] };
}

function tilesOf(visible: readonly (readonly boolean[])[], cuts: readonly number[]): MaskTile[] {
  const spans = cuts.slice(1).map((end, index) => ({ first: cuts[index]!, end }));
  return spans.flatMap((queries) =>
    spans.map((keys): MaskTile => {
      const cells = visible.slice(queries.first, queries.end).flatMap((row) => row.slice(keys.first, keys.end));
      const density = cells.every(Boolean) ? "full" : cells.some(Boolean) ? "partial" : "empty";
      return {
        ...{ firstQuery: queries.first, endQuery: queries.end, firstKey: keys.first, endKey: keys.end },
        density,
      };
    }),
  );
}

/** `layer 3`, `layers 0 to 2`, `layers 0, 2, 4`. */
function describeLayers(layers: readonly number[]): string {
  const [first, last] = [layers[0]!, layers.at(-1)!];
  if (first === last) return `layer ${first}`;
  return last - first === layers.length - 1 ? `layers ${first} to ${last}` : `layers ${layers.join(", ")}`;
}

/** `5 tiles full, 3 in part, 8 never visited`. */
export function countTiles({ tiles }: MaskPicture): string {
  const count = (density: MaskTile["density"]) => tiles.filter((tile) => tile.density === density).length;
  return `${count("full")} tiles full, ${count("partial")} in part, ${count("empty")} never visited`;
}
