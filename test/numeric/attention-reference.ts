/**
 * Attention over caches, described in the model's terms: which tokens query and who sees whom. From that the harness lays out the row
 * table, query tiles and key stores as a run time would, runs a kernel, and computes the same in float64.
 *
 * Whatever no query of a sequence sees is poisoned with NaN, so a kernel that lets it touch a sum shows.
 */

import { evaluate } from "../../src/ir/expr.js";
import type { AttendPart, KeyGroup } from "../../src/ir/graph/ops.js";
import { bfloatFromBits, bfloatToBits, halfFromBits, halfToBits } from "../../src/ir/kernel/half.js";
import type { FloatType } from "../../src/ir/kernel/types.js";
import { type Predicate, sees, type Token } from "../../src/ir/relation/predicate.js";
import { randomFloats } from "./linear-reference.js";

export interface Relation {
  readonly name: string;
  readonly copies: number;
  readonly predicate: Predicate;
  readonly groups: readonly KeyGroup[];
  readonly parts: readonly AttendPart[];
}

export interface Sequence {
  /** Positions known. */
  readonly length: number;
  /** Tokens that query, in the order of the table. */
  readonly queries: readonly Token[];
  /** Tokens that stand in a decode table before those, in layers that few rows leave: they have keys, and do not query. */
  readonly silent?: readonly Token[];
}

export interface AttentionCase {
  readonly relation: Relation;
  readonly heads: number;
  readonly kvHeads: number;
  readonly width: number;
  readonly cache: FloatType;
  /** Matrix units take queries rounded like keys, and keys in words. */
  readonly units?: "matrix";
  readonly sequences: readonly Sequence[];
  /** How a store lays keys out: all slots, exactly as many slots as are live, or a scratch that starts at the first live key. */
  readonly store: "forever" | "ring" | "scratch";
  /** Most rows of a query tile. */
  readonly tileRows: number;
  /** `prefill`: the rows of a sequence are neighbours. `decode`: row i of every sequence, then row i + 1. */
  readonly order: "prefill" | "decode";
  /** Rows at the head of the table that nobody is concerned with; 2 unless given. */
  readonly idleRows?: number;
}

export interface Layout {
  readonly query: Float32Array;
  /** By group; absent where the part is empty. */
  readonly keys: readonly (Float32Array | Uint16Array | undefined)[];
  readonly control: Int32Array;
  readonly params: Readonly<Record<string, number>>;
  readonly rows: number;
  readonly tileCount: number;
  /** Float64 result by table row: [heads × width]; absent for rows that are not queried. */
  readonly expected: readonly (readonly number[] | undefined)[];
  /** By group: the elements of the store that hold live keys or values. */
  readonly live: readonly ReadonlySet<number>[];
}

/** What a kernel reads of a value in a cache, and the bits that are stored. */
const formats: Readonly<Record<FloatType, { read(value: number): number; store?(value: number): number }>> = {
  f32: { read: (value) => value },
  f16: { read: (value) => halfFromBits(halfToBits(value)), store: halfToBits },
  bf16: { read: (value) => bfloatFromBits(bfloatToBits(value)), store: bfloatToBits },
};

const sequencesAt = 3;
const usualIdleRows = 2;

export const copiesIn = (group: KeyGroup): number => group.lastCopy - group.firstCopy + 1;

export function layOut(test: AttentionCase): Layout {
  const { relation, heads, kvHeads, width, cache, sequences } = test;
  const { groups, parts } = relation;
  const sequenceStride = 4 + groups.length;
  const rowsAt = sequencesAt + sequences.length * sequenceStride;
  const table = tableOf(test);
  const tiles = tilesOf(test);
  const tilesAt = rowsAt + 4 * table.length;
  const control = new Int32Array(tilesAt + 4 * (tiles.length + 1));
  const batch = sequences.length;

  const { read, store } = formats[cache];
  const query = randomFloats(11, table.length * heads * width, 3).map(test.units === "matrix" ? read : Math.fround);
  const keysOf = sequences.map((sequence, s) =>
    randomFloats(100 + s, sequence.length * relation.copies * kvHeads * width),
  );
  const valuesOf = sequences.map((sequence, s) =>
    randomFloats(200 + s, sequence.length * relation.copies * kvHeads * width),
  );

  const stores = groups.map((group, g) => {
    const liveOf = sequences.map((sequence) => liveIndices(relation, group, sequence));
    const spans = liveOf.map((live) => (live.length === 0 ? 1 : live.at(-1)! - live[0]! + 1));
    const whole = Math.max(...sequences.map(({ length }) => length * copiesIn(group))) + 3;
    const slots = test.store === "forever" ? whole : Math.max(...spans) + (test.store === "ring" ? 0 : 1);
    const bases = liveOf.map((live) => (test.store === "scratch" ? (live[0] ?? 0) : 0));
    const data = new Float32Array(2 * batch * slots * kvHeads * width).fill(Number.NaN);
    const elements = new Set<number>();
    liveOf.forEach((live, s) => {
      for (const index of live) {
        const slot = (index - bases[s]!) % slots;
        const token = tokenOf(group, index);
        const source = (token.pos * relation.copies + token.copy - 1) * kvHeads * width;
        for (let i = 0; i < kvHeads * width; i++) {
          const key = (s * slots + slot) * kvHeads * width + i;
          const value = ((batch + s) * slots + slot) * kvHeads * width + i;
          data[key] = keysOf[s]![source + i]!;
          data[value] = valuesOf[s]![source + i]!;
          elements.add(key).add(value);
        }
      }
    });
    const stored = store === undefined ? data : Uint16Array.from(data, store);
    return { data: parts[g]!.density === "empty" ? undefined : stored, slots, bases, elements };
  });

  sequences.forEach((sequence, s) => {
    control.set([sequence.length, 0, 0, 0, ...stores.map(({ bases }) => bases[s]!)], sequencesAt + s * sequenceStride);
  });
  table.forEach(({ sequence, token }, row) => {
    control.set([sequence, token.pos, token.copy, 0], rowsAt + 4 * row);
  });
  // Tile 0 belongs to another row range.
  tiles.forEach((tile, t) => {
    control.set(tile, tilesAt + 4 * (t + 1));
  });

  const expected = table.map(({ sequence, token, queried }, row) =>
    queried
      ? attentionOf(test, token, sequences[sequence]!, query.subarray(row * heads * width, (row + 1) * heads * width), {
          key: (source) => read(keysOf[sequence]![source]!),
          value: (source) => read(valuesOf[sequence]![source]!),
        })
      : undefined,
  );
  const slots = Object.fromEntries(
    stores.flatMap((store, g) => (parts[g]!.density === "empty" ? [] : [[`slots_${g}`, store.slots]])),
  );
  const params = {
    tile_base: 1,
    rows_at: rowsAt,
    tiles_at: tilesAt,
    sequences_at: sequencesAt,
    sequence_stride: sequenceStride,
    batch,
    ...slots,
  };
  return {
    query,
    keys: stores.map(({ data }) => data),
    control,
    params,
    rows: table.length,
    tileCount: tiles.length,
    expected,
    live: stores.map(({ elements }) => elements),
  };
}

export const tokenOf = (group: KeyGroup, index: number): Token => ({
  pos: Math.floor(index / copiesIn(group)),
  copy: (index % copiesIn(group)) + group.firstCopy,
});

/** Indices of the group that some query of the sequence sees, after checking that the part's bounds hold them. */
function liveIndices(relation: Relation, group: KeyGroup, sequence: Sequence): number[] {
  const part = relation.parts[relation.groups.indexOf(group)]!;
  const live: number[] = [];
  for (let index = 0; index < sequence.length * copiesIn(group); index++) {
    const key = tokenOf(group, index);
    const readers = sequence.queries.filter((query) => sees(relation.predicate, query, key));
    for (const query of sequence.queries) {
      const env = { q_pos: query.pos, q_copy: query.copy };
      const inside = part.density !== "empty" && index >= evaluate(part.lo, env) && index < evaluate(part.hi, env);
      const seen = readers.includes(query);
      if (seen && !inside) throw new Error(`${relation.name}: the bounds of ${group.name} miss key ${index}`);
      if (part.density === "dense" && inside && !seen) throw new Error(`${relation.name}: ${group.name} is not dense`);
    }
    if (readers.length > 0) live.push(index);
  }
  return live;
}

interface TableRow {
  readonly sequence: number;
  readonly token: Token;
  readonly queried: boolean;
}

/** The row table: a few rows that do not query, then the queries. */
function tableOf({ sequences, order, idleRows = usualIdleRows }: AttentionCase): TableRow[] {
  const idle = Array.from({ length: idleRows }, () => ({
    sequence: 0,
    token: { pos: 0, copy: 1 },
    queried: false,
  }));
  const row = (sequence: number, token: Token) => ({ sequence, token, queried: true });
  if (order === "prefill")
    return [...idle, ...sequences.flatMap(({ queries }, s) => queries.map((token) => row(s, token)))];
  const silent = sequences[0]!.silent ?? [];
  return [
    ...idle,
    ...silent.flatMap((_, i) => sequences.map((own, s) => ({ ...row(s, own.silent![i]!), queried: false }))),
    ...sequences[0]!.queries.flatMap((_, i) => sequences.map(({ queries }, s) => row(s, queries[i]!))),
  ];
}

/** First row, rows, stride and sequence of each query tile. */
function tilesOf({ sequences, order, tileRows, idleRows = usualIdleRows }: AttentionCase): number[][] {
  const silent = sequences[0]!.silent?.length ?? 0;
  let firstRow = idleRows + silent * sequences.length;
  const firstQuery = firstRow;
  return sequences.flatMap(({ queries }, sequence) => {
    const tiles: number[][] = [];
    for (let first = 0; first < queries.length; first += tileRows) {
      const rows = Math.min(tileRows, queries.length - first);
      const decodeRow = firstQuery + first * sequences.length + sequence;
      tiles.push(
        order === "prefill" ? [firstRow + first, rows, 1, sequence] : [decodeRow, rows, sequences.length, sequence],
      );
    }
    firstRow += queries.length;
    return tiles;
  });
}

interface KeysAndValues {
  key(element: number): number;
  value(element: number): number;
}

/** Softmax attention of one token, the definition: every head over every key that the predicate shows. */
function attentionOf(
  { relation, heads, kvHeads, width }: AttentionCase,
  token: Token,
  sequence: Sequence,
  query: Float32Array,
  { key, value }: KeysAndValues,
): number[] {
  const { copies, predicate } = relation;
  const seen: number[] = [];
  for (let index = 0; index < sequence.length * copies; index++) {
    if (sees(predicate, token, { pos: Math.floor(index / copies), copy: (index % copies) + 1 })) seen.push(index);
  }
  return Array.from({ length: heads }, (_, head) => {
    const keyHead = Math.floor(head / (heads / kvHeads));
    const element = (index: number, i: number) => (index * kvHeads + keyHead) * width + i;
    const scores = seen.map((index) => {
      let dot = 0;
      for (let i = 0; i < width; i++) dot += query[head * width + i]! * key(element(index, i));
      return dot * scaleOf(width);
    });
    const peak = Math.max(...scores);
    const weights = scores.map((score) => Math.exp(score - peak));
    const sum = weights.reduce((a, b) => a + b, 0);
    return Array.from({ length: width }, (_, i) =>
      sum === 0 ? 0 : weights.reduce((total, weight, j) => total + (weight / sum) * value(element(seen[j]!, i)), 0),
    );
  }).flat();
}

export const scaleOf = (width: number): number => 1 / Math.sqrt(width);
