/**
 * Row tables: which tokens a phase computes, in which layers, and in what order (see `manifest.ts`).
 */
import { evaluate } from "./expr.js";
import type { KeyGroupInfo, RowRules, RowSet } from "./manifest.js";

/** The positions that one prefill slice adds to one sequence. */
export interface SlicePart {
  readonly sequence: number;
  /** Positions cached before. */
  readonly start: number;
  /** Token ids of positions start … start + ids.length - 1. */
  readonly ids: ArrayLike<number>;
}

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
 * For every token of a slice of one sequence, in how many layers its row is computed; 0 for tokens without a row. Per key group, by
 * index from the slice's first. The output row counts layers + 1.
 */
function layersOfTokens(model: RowModel, start: number, n: number): Uint32Array[] {
  const { groups, rules, layers } = model;
  // The greatest layer that shares an entry decides: a row that enters a layer has entered all before it.
  const deepest = rules.prefill.inputs.map((_, entry) => rules.prefill.layers.lastIndexOf(entry) + 1);
  return groups.map((group) => {
    const copies = group.lastCopy - group.firstCopy + 1;
    const counts = new Uint32Array((n - start) * copies);
    for (const [entry, sets] of rules.prefill.inputs.entries()) {
      for (const set of sets) if (set.group === group.name) mark(counts, deepest[entry]!, set, group, start, n);
    }
    if (model.predictCopy >= group.firstCopy && model.predictCopy <= group.lastCopy) {
      counts[(n - 1 - start) * copies + model.predictCopy - group.firstCopy] = layers + 1;
    }
    return counts;
  });
}

function mark(counts: Uint32Array, layers: number, set: RowSet, group: KeyGroupInfo, start: number, n: number): void {
  const copies = group.lastCopy - group.firstCopy + 1;
  const first = start * copies;
  const env: Record<string, number> = { n, start };
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

/** How many rows a slice of one sequence has. */
export function countRows(model: RowModel, start: number, n: number): number {
  return layersOfTokens(model, start, n).reduce(
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
  const counted = parts.map((part) => layersOfTokens(model, part.start, part.start + part.ids.length));

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
      const copies = group.lastCopy - group.firstCopy + 1;
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
  const groupOf = (copy: number) =>
    model.groups.findIndex(({ firstCopy, lastCopy }) => copy >= firstCopy && copy <= lastCopy);
  const tiles: TileWords = [];
  const end = range.base + range.count;
  for (let row = range.base; row < end; ) {
    const sequence = table.words[row * wordsPerRow]!;
    const group = groupOf(table.words[row * wordsPerRow + 2]!);
    let last = row + 1;
    // Originals and hidden tokens see different ranges of keys; a tile of both would visit the union of them.
    while (
      last < end &&
      last - row < most &&
      table.words[last * wordsPerRow] === sequence &&
      groupOf(table.words[last * wordsPerRow + 2]!) === group
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
 * Cuts the tokens of one sequence into slices of at most `slice` positions and `rows` rows each. A slice of one position always fits:
 * `rows` is at least K.
 */
export function cutIntoSlices(
  model: RowModel,
  { sequence, start, ids }: SlicePart,
  slice: number,
  rows: number,
): SlicePart[] {
  const parts: SlicePart[] = [];
  const all = Array.from(ids);
  for (let from = 0; from < all.length; ) {
    let length = Math.min(slice, all.length - from);
    while (length > 1 && countRows(model, start + from, start + from + length) > rows) length = Math.ceil(length / 2);
    parts.push({ sequence, start: start + from, ids: all.slice(from, from + length) });
    from += length;
  }
  return parts;
}
