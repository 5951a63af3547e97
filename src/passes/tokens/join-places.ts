/**
 * Rows of a group that are known for every place of a prompt's end in the period, as one set in n.
 *
 * Rows that begin or end at the same distance from the end of the prompt, or in the same row of the period, are one range for neighbouring
 * places.
 */
import { type Affine, constant, floorOf, remainderOf, scale, shift } from "../../ir/relation/affine.js";
import { atMost, equal, type IntegerSet, less, union, where } from "../../ir/relation/integer-set.js";
import { copiesIn } from "../../runtime/key-group.js";
import { KEY, N } from "./group-relation.js";
import type { KeyGroup } from "./group-tokens.js";
import { hasRow, type PromptEnd, type RepeatingRows } from "./repeating-rows.js";

/** Rows that repeat in more cases than this are not worth telling from those between them. */
const mostCases = 64;

/** A row of a prompt: counted from where its last period begins, and from its end. Undefined where that differs between places. */
interface Bound {
  readonly fromPeriod: number | undefined;
  readonly fromEnd: number | undefined;
}

/** Rows [lo, hi), from the first of all without `lo`; of these the ones that a pattern holds, where there is one. */
interface Piece {
  readonly lo: Bound | undefined;
  readonly hi: Bound;
  readonly pattern?: Pattern;
}

/** Rows with one of the remainders. */
interface Pattern {
  readonly modulus: number;
  readonly remainders: readonly number[];
}

interface JoinedPiece extends Piece {
  readonly firstPlace: number;
  readonly lastPlace: number;
}

/** Over `k.row` and `n`; `rows` has an entry for every place of position n - 1. Undefined where there would be too many cases. */
export function joinPlaces(
  group: KeyGroup,
  rows: readonly { readonly end: PromptEnd; readonly rows: RepeatingRows }[],
): IntegerSet | undefined {
  const joined: JoinedPiece[] = [];
  for (const [place, { end, rows: ofPlace }] of rows.entries()) {
    const pieces = piecesOf(group, place, end, ofPlace);
    if (pieces === undefined) return undefined;
    for (const piece of pieces) {
      const index = joined.findIndex((other) => joinPieces(other, piece, place) !== undefined);
      if (index < 0) joined.push({ ...piece, firstPlace: place, lastPlace: place });
      else joined[index] = joinPieces(joined[index]!, piece, place)!;
    }
  }
  return union(...joined.map((piece) => setOf(piece, copiesIn(group), rows.length)));
}

/** The rows at one place, ascending. */
function piecesOf(group: KeyGroup, place: number, end: PromptEnd, rows: RepeatingRows): Piece[] | undefined {
  const { firstCopy } = group;
  const size = copiesIn(group);
  const copies = Array.from({ length: size }, (_, at) => firstCopy + at);
  const pattern = patternOf(group, end, rows);
  const isWhole = pattern.remainders.length === pattern.modulus;
  if (pattern.remainders.length > mostCases && !isWhole) return undefined;

  // Other groups may need a longer list than this one does.
  const repeats = (distance: number) =>
    copies.every(
      (copy) => hasRow(rows, end, distance, copy) === hasRow(rows, end, distance + end.period * rows.listed, copy),
    );
  let { listed } = rows;
  while (listed > 0 && repeats(listed - 1)) listed--;

  const bound = (row: number): Bound => ({ fromPeriod: row, fromEnd: row - size * (place + 1) });
  const edge = (place + 1 - listed) * size;
  const pieces: Piece[] = [];
  if (pattern.remainders.length > 0 && !isWhole) pieces.push({ lo: undefined, hi: bound(edge), pattern });
  let open = isWhole ? { lo: undefined as Bound | undefined, hi: edge } : undefined;
  for (let row = edge; row < (place + 1) * size; row++) {
    const distance = place - Math.floor(row / size);
    const copy = firstCopy + row - Math.floor(row / size) * size;
    if (!hasRow(rows, end, distance, copy)) continue;
    if (open?.hi === row) open.hi++;
    else {
      if (open !== undefined) pieces.push({ lo: open.lo, hi: bound(open.hi) });
      open = { lo: bound(row), hi: row + 1 };
    }
  }
  if (open !== undefined) pieces.push({ lo: open.lo, hi: bound(open.hi) });
  return pieces;
}

/** What repeats of the rows of a group, in as few cases as there are. */
function patternOf({ firstCopy, lastCopy }: KeyGroup, { period, copies }: PromptEnd, { far }: RepeatingRows): Pattern {
  const holds = (place: number, copy: number) => far[place * copies + copy - 1] !== 0;
  const all = Array.from({ length: lastCopy - firstCopy + 1 }, (_, at) => firstCopy + at);
  const places = Array.from({ length: period }, (_, place) => place);
  const repeats = (shorter: number) =>
    places.every((place) => all.every((copy) => holds(place, copy) === holds(place % shorter, copy)));
  const shortest = places.map((place) => place + 1).find((shorter) => period % shorter === 0 && repeats(shorter))!;
  const remainders = places
    .slice(0, shortest)
    .flatMap((place) => all.filter((copy) => holds(place, copy)).map((copy) => place * all.length + copy - firstCopy));
  return { modulus: shortest * all.length, remainders };
}

/** Both, where they are alike and the piece is at the next place. */
function joinPieces(before: JoinedPiece, piece: Piece, place: number): JoinedPiece | undefined {
  if (before.lastPlace !== place - 1 || textOf(before.pattern) !== textOf(piece.pattern)) return undefined;
  if ((before.lo === undefined) !== (piece.lo === undefined)) return undefined;
  const lo = before.lo && joinBounds(before.lo, piece.lo!);
  const hi = joinBounds(before.hi, piece.hi);
  if (hi === undefined || (before.lo !== undefined && lo === undefined)) return undefined;
  return { ...before, lo, hi, lastPlace: place };
}

const textOf = (pattern: Pattern | undefined) => JSON.stringify(pattern);

function joinBounds(a: Bound, b: Bound): Bound | undefined {
  const fromPeriod = a.fromPeriod === b.fromPeriod ? a.fromPeriod : undefined;
  const fromEnd = a.fromEnd === b.fromEnd ? a.fromEnd : undefined;
  return fromPeriod === undefined && fromEnd === undefined ? undefined : { fromPeriod, fromEnd };
}

function setOf({ lo, hi, pattern, firstPlace, lastPlace }: JoinedPiece, size: number, period: number): IntegerSet {
  const last = shift(N, -1);
  const place = remainderOf(last, period);
  const rowAt = ({ fromPeriod, fromEnd }: Bound): Affine =>
    fromEnd !== undefined
      ? shift(scale(N, size), fromEnd)
      : shift(scale(floorOf(last, period), size * period), fromPeriod!);
  const parts = [
    atMost(constant(0), KEY),
    less(KEY, rowAt(hi)),
    ...(lo === undefined ? [] : [atMost(rowAt(lo), KEY)]),
    ...(firstPlace === 0 ? [] : [atMost(constant(firstPlace), place)]),
    ...(lastPlace === period - 1 ? [] : [atMost(place, constant(lastPlace))]),
  ];
  if (pattern === undefined) return where(...parts);
  const { modulus, remainders } = pattern;
  return remainders.flatMap((of) => where(...parts, equal(remainderOf(KEY, modulus), constant(of))));
}
