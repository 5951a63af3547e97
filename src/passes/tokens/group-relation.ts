/**
 * Relations between rows of key groups.
 *
 * A group is an interval of copies, at all positions or at some. Its rows are numbered in stream order,
 * row = pos * copies in the group + copy - firstCopy, so that a set of rows is a set of integers in one variable and most sets of a
 * model are intervals of them. `k.row` and `q.row` are that number for a key and a query; `n` is the number of positions of a
 * prompt, `start` the number of those whose lasting keys are cached.
 */
import { type Affine, constant, floorOf, remainderOf, scale, shift, variable } from "../../ir/relation/affine.js";
import type { Constraint } from "../../ir/relation/constraint.js";
import {
  atMost,
  contextOf,
  equal,
  type IntegerSet,
  intersect,
  less,
  project,
  simplify,
  substitute,
  where,
} from "../../ir/relation/integer-set.js";
import { copiesIn } from "../../runtime/key-group.js";
import type { KeyGroup } from "./group-tokens.js";

const QUERY = variable("q.row");
export const KEY = variable("k.row");
export const N = variable("n");
export const START = variable("start");

/** Facts about every prompt: it has a new position, behind what is cached. */
export const promptContext: readonly Constraint[] = contextOf(atMost(constant(0), START), less(START, N));

/** What holds of n between two decode steps. */
export const stepContext: readonly Constraint[] = contextOf(atMost(constant(1), N));

const positionOf = (row: Affine, group: KeyGroup): Affine => floorOf(row, copiesIn(group));
const copyOf = (row: Affine, group: KeyGroup): Affine => shift(remainderOf(row, copiesIn(group)), group.firstCopy);

/** The coordinates of a key in terms of its row. */
export const keyCoordinates = (group: KeyGroup) => ({ "k.pos": positionOf(KEY, group), "k.copy": copyOf(KEY, group) });

/** The coordinates of a query in terms of its row. */
const queryCoordinates = (group: KeyGroup) => ({
  "q.pos": positionOf(QUERY, group),
  "q.copy": copyOf(QUERY, group),
});

/** A relation over (pos, copy) pairs as one between rows of two groups, over `q.row` and `k.row`. */
export function betweenGroups(relation: IntegerSet, queries: KeyGroup, keys: KeyGroup): IntegerSet {
  const rows = substitute(relation, { ...queryCoordinates(queries), ...keyCoordinates(keys) });
  const exist = where(...existing(queries, QUERY), ...existing(keys, KEY));
  return simplify(intersect(rows, exist));
}

/** A set of `k.row` as one of `q.row`: the keys of a layer are queries of the layer below. */
const asQueries = (rows: IntegerSet): IntegerSet => substitute(rows, { "k.row": QUERY });

/** A set of `q.row` as one of `k.row`. */
export const asKeys = (rows: IntegerSet): IntegerSet => substitute(rows, { "q.row": KEY });

/** The keys that some query of the set sees, where `relation` is over `q.row` and `k.row`. */
export const keysSeenBy = (queries: IntegerSet, relation: IntegerSet): IntegerSet =>
  project(intersect(relation, asQueries(queries)), ["q.row"]);

/** What a row of a group meets beyond existing: it is at the group's positions. */
const atPositionsOf = (group: KeyGroup, row: Affine) => [
  ...(group.firstPos === undefined ? [] : [atMost(constant(group.firstPos * copiesIn(group)), row)]),
  ...(group.endPos === undefined ? [] : [less(row, constant(group.endPos * copiesIn(group)))]),
];

const existing = (group: KeyGroup, row: Affine) => [atMost(constant(0), row), ...atPositionsOf(group, row)];

/** Rows of the positions [from, to), of which none is negative. */
export const rowsBetween = (group: KeyGroup, from: Affine, to: Affine): IntegerSet =>
  where(atMost(scale(from, copiesIn(group)), KEY), less(KEY, scale(to, copiesIn(group))), ...atPositionsOf(group, KEY));

/** Every row there can be. */
export const allRows = (group: KeyGroup): IntegerSet => where(...existing(group, KEY));

/** The rows of one copy, at every position. */
export const rowsOfCopy = (group: KeyGroup, copy: number): IntegerSet =>
  where(...existing(group, KEY), equal(copyOf(KEY, group), constant(copy)));

/** The row of one copy at one position. */
export const rowAt = (group: KeyGroup, position: Affine, copy: number): IntegerSet =>
  where(equal(KEY, shift(scale(position, copiesIn(group)), copy - group.firstCopy)), ...atPositionsOf(group, KEY));
