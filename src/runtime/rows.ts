/**
 * Row tables: which tokens a phase computes, in which layers, and in what order (see `manifest.ts`).
 */
import { evaluate } from "./expr.js";
import { copiesIn, groupOf, holdsToken } from "./key-group.js";
import type { KeyGroupInfo, RowRules, RowSet } from "./manifest.js";

/** Tokens that a sequence goes on with, all of them known. */
export interface Prompt {
  readonly sequence: number;
  /** Positions whose keys are cached where they are kept for ever. */
  readonly start: number;
  /** Positions of which everything is cached that later ones need: `start`, but after a cut. */
  readonly resumesAt?: number;
  /** Token ids from position `resumesAt` on. */
  readonly ids: ArrayLike<number>;
}

/** The symbols of row rules: n, how many positions a prompt has in the end, and its start. */
export interface PromptSizes {
  readonly n: number;
  readonly start: number;
}

/** The positions that one prefill slice computes of one sequence. */
export interface SlicePart {
  readonly sequence: number;
  /** The first position. */
  readonly start: number;
  /** Token ids of positions start … start + ids.length - 1. */
  readonly ids: ArrayLike<number>;
  /** The prompt that the slice is a part of; a prompt of its own when left out. */
  readonly of?: PromptSizes;
}

const sizesOf = ({ start, ids, of }: SlicePart): PromptSizes => of ?? { n: start + ids.length, start };

/** Neighbouring rows [base, base + count) of a table. */
export interface RowRange {
  readonly base: number;
  readonly count: number;
}

export interface RowTable {
  readonly rows: number;
  /** Four words per row: sequence, pos, copy, token id. */
  readonly words: Int32Array<ArrayBuffer>;
  /** Rows that enter a layer. */
  input(layer: number): RowRange;
  /** Rows that leave a layer. */
  query(layer: number): RowRange;
  /** The rows that are predicted from, in sequence order. */
  readonly output: RowRange;
}

const wordsPerRow = 4;

/** What the rows of a model depend on. */
export interface RowModel {
  readonly groups: readonly KeyGroupInfo[];
  readonly rules: RowRules;
  readonly layers: number;
  /** The copy that is predicted from. */
  readonly predictCopy: number;
}

/**
 * For every token of the positions [from, to) of a prompt, in how many layers its row is computed; 0 for tokens without a row. Per key
 * group, by index from the first. The output row, at the end of the prompt, counts layers + 1.
 */
function layersOfTokens(model: RowModel, from: number, to: number, sizes: PromptSizes): Uint32Array[] {
  const { groups, rules, layers } = model;
  // The greatest layer that shares an entry decides: a row that enters a layer has entered all before it.
  const deepest = rules.prefill.inputs.map((_, entry) => rules.prefill.layers.lastIndexOf(entry) + 1);
  return groups.map((group) => {
    const copies = copiesIn(group);
    const counts = new Uint32Array((to - from) * copies);
    for (const [entry, sets] of rules.prefill.inputs.entries()) {
      for (const set of sets) if (set.group === group.name) mark(counts, deepest[entry]!, set, group, from, sizes);
    }
    if (to === sizes.n && holdsToken(group, to - 1, model.predictCopy)) {
      counts[(to - 1 - from) * copies + model.predictCopy - group.firstCopy] = layers + 1;
    }
    return counts;
  });
}

function mark(
  counts: Uint32Array,
  layers: number,
  set: RowSet,
  group: KeyGroupInfo,
  from: number,
  sizes: PromptSizes,
): void {
  const copies = copiesIn(group);
  const first = from * copies;
  const env: Record<string, number> = { ...sizes };
  for (const { lo, hi, where } of set.ranges) {
    const end = Math.min(evaluate(hi, env), first + counts.length);
    for (let index = Math.max(evaluate(lo, env), first); index < end; index++) {
      if (where !== undefined) {
        env["pos"] = Math.floor(index / copies);
        env["copy"] = group.firstCopy + (index % copies);
        if (evaluate(where, env) === 0) continue;
      }
      const at = index - first;
      if (counts[at]! < layers) counts[at] = layers;
    }
  }
}

/** How many rows the positions [from, to) of a prompt have. */
export function countRows(model: RowModel, from: number, to: number, of: PromptSizes = { n: to, start: from }): number {
  return layersOfTokens(model, from, to, of).reduce(
    (total, counts) => total + counts.reduce((rows, layers) => rows + (layers > 0 ? 1 : 0), 0),
    0,
  );
}

/**
 * The table of a prefill slice, of one or several sequences.
 *
 * Rows that die first come first; among those, sequence, group and stream order. The output rows come last, in sequence order.
 */
export function prefillTable(model: RowModel, parts: readonly SlicePart[]): RowTable {
  const { groups, layers } = model;
  const counted = parts.map((part) => layersOfTokens(model, part.start, part.start + part.ids.length, sizesOf(part)));

  // A counting sort over the number of layers: `next[c]` is where the next row computed in c layers goes.
  const perCount = new Uint32Array(layers + 2);
  for (const perGroup of counted) for (const counts of perGroup) for (const count of counts) perCount[count]!++;
  perCount[0] = 0;
  const next = new Uint32Array(layers + 2);
  for (let count = 1; count <= layers + 1; count++) next[count] = next[count - 1]! + perCount[count - 1]!;
  const starts = next.slice();
  const rows = next[layers + 1]! + perCount[layers + 1]!;

  const words = new Int32Array(rows * wordsPerRow);
  for (const [index, { sequence, start, ids }] of parts.entries()) {
    for (const [g, group] of groups.entries()) {
      const copies = copiesIn(group);
      for (const [at, count] of counted[index]![g]!.entries()) {
        if (count === 0) continue;
        const offset = Math.floor(at / copies);
        const row = next[count]!++;
        words.set([sequence, start + offset, group.firstCopy + (at % copies), ids[offset]!], row * wordsPerRow);
      }
    }
  }
  /** Rows that are computed in at least `count` layers; the output rows stand for one layer more than there is. */
  const from = (count: number): RowRange => ({ base: starts[count]!, count: rows - starts[count]! });
  return {
    rows,
    words,
    input: (layer) => from(layer + 1),
    query: (layer) => from(layer + 2),
    output: from(layers + 1),
  };
}

/** The table of decode steps: every copy of the newest position of every sequence, copy-major in the order of the rules. */
export function decodeTable(
  model: RowModel,
  newest: readonly { readonly pos: number; readonly id: number }[],
): RowTable {
  const { order, input, query } = model.rules.decode;
  const batch = newest.length;
  const rows = order.length * batch;
  const words = new Int32Array(rows * wordsPerRow);
  for (const [place, copy] of order.entries()) {
    for (const [sequence, { pos, id }] of newest.entries()) {
      words.set([sequence, pos, copy, id], (place * batch + sequence) * wordsPerRow);
    }
  }
  const last = (copies: number): RowRange => ({ base: rows - copies * batch, count: copies * batch });
  return {
    rows,
    words,
    // A model without layers embeds what it predicts from.
    input: (layer) => last(input[layer] ?? 1),
    query: (layer) => last(query[layer] ?? 1),
    output: last(1),
  };
}

/** Query tiles of a row range: four words each, first row, number of rows, stride, sequence. */
export type TileWords = number[];

/** Tiles of a prefill range: neighbouring rows of one sequence and one key group, at most `most` of them. */
export function prefillTiles(model: RowModel, table: RowTable, range: RowRange, most: number): TileWords {
  const groupOfRow = (row: number) =>
    groupOf(model.groups, table.words[row * wordsPerRow + 1]!, table.words[row * wordsPerRow + 2]!);
  const tiles: TileWords = [];
  const end = range.base + range.count;
  for (let row = range.base; row < end; ) {
    const sequence = table.words[row * wordsPerRow]!;
    const group = groupOfRow(row);
    let last = row + 1;
    // Originals and hidden tokens see different ranges of keys; a tile of both would visit the union of them.
    while (
      last < end &&
      last - row < most &&
      table.words[last * wordsPerRow] === sequence &&
      groupOfRow(last) === group
    ) {
      last++;
    }
    tiles.push(row, last - row, 1, sequence);
    row = last;
  }
  return tiles;
}

/** Tiles of a decode range: rows of one sequence, one per copy, `batch` rows apart. */
export function decodeTiles(batch: number, range: RowRange, most: number): TileWords {
  const tiles: TileWords = [];
  const copies = range.count / batch;
  for (let sequence = 0; sequence < batch; sequence++) {
    for (let copy = 0; copy < copies; copy += most) {
      tiles.push(range.base + copy * batch + sequence, Math.min(most, copies - copy), batch, sequence);
    }
  }
  return tiles;
}

/**
 * Cuts a prompt into slices of at most `slice` positions and `rows` rows each, the last of which ends it. Positions without rows are left
 * out. A slice of one position always fits: `rows` is at least K.
 */
export function cutIntoSlices(
  model: RowModel,
  { sequence, start, resumesAt = start, ids }: Prompt,
  slice: number,
  rows: number,
): SlicePart[] {
  const all = Array.from(ids);
  const of = { n: resumesAt + all.length, start };
  const parts: SlicePart[] = [];
  for (let from = nextPosition(model, resumesAt, of); from < of.n; ) {
    let length = Math.min(slice, of.n - from);
    while (length > 1 && countRows(model, from, from + length, of) > rows) length = Math.ceil(length / 2);
    parts.push({ sequence, start: from, ids: all.slice(from - resumesAt, from - resumesAt + length), of });
    from = nextPosition(model, from + length, of);
  }
  return parts;
}

/** The first position from `from` on that may have rows; n where there is none. The last position of a prompt has one, as it predicts. */
function nextPosition({ groups, rules }: RowModel, from: number, of: PromptSizes): number {
  if (from >= of.n) return of.n;
  let next = of.n - 1;
  for (const { group, ranges } of rules.prefill.inputs.flat()) {
    const { firstCopy, lastCopy } = groups.find(({ name }) => name === group)!;
    const copies = lastCopy - firstCopy + 1;
    for (const { lo, hi } of ranges) {
      const first = Math.max(evaluate(lo, { ...of }), from * copies);
      if (first < evaluate(hi, { ...of })) next = Math.min(next, Math.floor(first / copies));
    }
  }
  return next;
}
