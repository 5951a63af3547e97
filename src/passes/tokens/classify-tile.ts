import { constant, variable } from "../../ir/relation/affine.js";
import { setOfPredicate } from "../../ir/relation/from-predicate.js";
import { areDisjoint, atMost, isSubset, where } from "../../ir/relation/integer-set.js";
import type { Predicate } from "../../ir/relation/predicate.js";

/** A box of tokens; both ends inclusive. */
export interface TokenBox {
  readonly firstPos: number;
  readonly lastPos: number;
  readonly firstCopy: number;
  readonly lastCopy: number;
}

/** full: every query of the tile sees every key; empty: none sees any. */
export type TileClass = "full" | "partial" | "empty";

/** Classifies tiles of one relation, exactly; the relation is analysed once. */
export function tileClassifier(predicate: Predicate): (queries: TokenBox, keys: TokenBox) => TileClass {
  const relation = setOfPredicate(predicate);
  return (queries, keys) => {
    const tile = where(...inBox("q", queries), ...inBox("k", keys));
    if (areDisjoint(tile, relation)) return "empty";
    return isSubset(tile, relation) ? "full" : "partial";
  };
}

export const classifyTile = (predicate: Predicate, queries: TokenBox, keys: TokenBox): TileClass =>
  tileClassifier(predicate)(queries, keys);

function inBox(side: "q" | "k", box: TokenBox) {
  const pos = variable(`${side}.pos`);
  const copy = variable(`${side}.copy`);
  return [
    atMost(constant(box.firstPos), pos),
    atMost(pos, constant(box.lastPos)),
    atMost(constant(box.firstCopy), copy),
    atMost(copy, constant(box.lastCopy)),
  ];
}
