import { variable } from "../../ir/relation/affine.js";
import {
  contains,
  equal,
  type IntegerSet,
  intersect,
  project,
  simplify,
  where,
} from "../../ir/relation/integer-set.js";
import { keyCoordinates } from "./group-relation.js";
import type { KeyGroup } from "./group-tokens.js";

/** The copies that occur in a set over `k.row`, at whatever position and for whatever symbols: inclusive intervals, ascending. */
export function copiesOf(group: KeyGroup, rows: IntegerSet): (readonly [number, number])[] {
  const COPY = variable("copy");
  const others = ["k.row", "n", "start"];
  const occurring = simplify(project(intersect(rows, where(equal(COPY, keyCoordinates(group)["k.copy"]))), others));
  const intervals: [number, number][] = [];
  for (let copy = group.firstCopy; copy <= group.lastCopy; copy++) {
    if (!contains(occurring, { copy })) continue;
    const previous = intervals.at(-1);
    if (previous !== undefined && previous[1] === copy - 1) previous[1] = copy;
    else intervals.push([copy, copy]);
  }
  return intervals;
}
