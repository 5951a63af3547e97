/**
 * The core of attention: a block of query rows against ranges of keys, with an online softmax.
 *
 * Keys pass through workgroup memory a tile at a time, each loaded from the cache once for all rows of the block. Two barriers a tile:
 *
 *   score    scorers multiply the tile's keys with their queries, mask, and publish the highest score of each row
 *   ──────── barrier
 *   weigh    scores become weights 2^(score - peak); meanwhile the tile's values and the next tile's keys are loaded
 *   ──────── barrier
 *   gather   gatherers add the weighted values to their sums, which they first scale down if the peak has risen
 *
 * The next tile is scored while others still gather: it touches nothing that gathering reads.
 * Scores are kept in units of log 2, which makes every exponential a plain 2^x.
 */
import {
  allOf,
  constantOf,
  exp2,
  fma,
  type KernelBuilder,
  type Memory,
  max,
  min,
  select,
  u32,
  type Value,
  type Variable,
  vector,
  vectorOf,
} from "../../ir/kernel/builder.js";
import { predicateValue } from "../../ir/kernel/from-integer.js";
import { widthOf } from "../../ir/kernel/types.js";
import { type BoundGroup, boundsOf, copiesIn, type KeyRange, keyPlaces } from "./key-ranges.js";
import type { AttentionOptions } from "./options.js";
import { clampToBlock, type QueryBlock } from "./query-block.js";
import type { Tiling } from "./tiling.js";

/** Peak of a row that has seen no key. Finite: devices may assume that there are no infinities. */
export const lowestPeak = -1e30;
/** Score of a hidden key; so far below any peak that its weight is 0 without a test. */
const hiddenScore = -2e30;

/** What an invocation holds when all keys are done. */
export interface Gathered {
  /** Whether this invocation holds results at all. */
  readonly holds: Value;
  /** The vector of the head that it owns. */
  readonly headVector: Value;
  readonly rows: readonly GatheredRow[];
}

export interface GatheredRow {
  /** Query row within the block; may lie beyond its end. */
  readonly row: Value;
  /** Σ weight · value, the owned vector of it. */
  readonly values: Value;
  /** Σ weight. */
  readonly sum: Value;
  /** Highest score, in units of log 2. */
  readonly peak: Value;
}

export interface Attended {
  readonly groups: readonly BoundGroup[];
  /** The part of each group's keys that this workgroup takes; `full…` as for all of the block's keys. */
  readonly ranges: readonly KeyRange[];
  readonly batch: Value;
}

export function attend(
  k: KernelBuilder,
  options: AttentionOptions,
  tiling: Tiling,
  block: QueryBlock,
  query: Memory,
  { groups, ranges, batch }: Attended,
): Gathered {
  const shared = sharedMemory(k, tiling);
  const scorer = makeScorer(k, options, tiling, block);
  const gatherer = makeGatherer(k, tiling);

  groups.forEach((group, index) => {
    const range = ranges[index]!;
    const tiles = tileLoader(k, options, tiling, shared, block, group, range, batch);
    k.comment(`${group.group.name}: ${copiesIn(group.group) === 1 ? "copy" : "copies"} ${describeCopies(group)}`);
    k.if(range.from.lt(range.to), () => {
      const visible = visibility(k, options, block, scorer, group, range);
      tiles.loadKeys(range.from);
      k.barrier();
      k.for("start", { from: range.from, to: range.to, step: tiling.keys }, (start) => {
        const masked = k.let("masked", isMasked(group, range, start, tiling.keys));
        const scores = score(k, options, tiling, shared, scorer, query, (keyScores, key) => {
          k.if(masked, () => {
            const index = k.let("index", start.add(key.toI32()));
            const shown = visible(index);
            keyScores.set(pack(shown.map((seen, row) => select(seen, keyScores.component(row), hiddenScore))));
          });
        });
        k.barrier();
        weigh(k, tiling, shared, scorer, scores);
        tiles.loadValues(start);
        const next = k.let("next", start.add(tiling.keys));
        k.if(next.lt(range.to), () => tiles.loadKeys(next));
        k.barrier();
        gather(k, tiling, shared, gatherer, masked, min(range.to.sub(start).toU32(), tiling.keys));
      });
    });
  });
  return finish(k, tiling, shared, scorer, gatherer);
}

const describeCopies = ({ group: { firstCopy, lastCopy } }: BoundGroup): string =>
  firstCopy === lastCopy ? `${firstCopy}` : `${firstCopy} to ${lastCopy}`;

interface SharedMemory {
  /** A tile of keys, `keyStride` vectors apart; behind it a tile of values. */
  readonly tile: Memory;
  readonly valuesAt: number;
  /** Weight of key j for row vector r at j · rowVectors + r. */
  readonly weights: Memory;
  /** The highest score among the keys of one scorer, by key column and row vector. */
  readonly columnPeaks: Memory;
  /** What the sums of a row vector have to be scaled by. */
  readonly corrections: Memory;
  readonly peaks: Memory;
}

function sharedMemory(k: KernelBuilder, tiling: Tiling): SharedMemory {
  const { rowVectors, keys, keyColumns } = tiling;
  const rowType = vectorOf("f32", tiling.rowVector);
  return {
    tile: k.workgroupArray("tile", vectorOf("f32", tiling.headVector), tiling.tileVectors),
    valuesAt: keys * tiling.keyStride,
    weights: k.workgroupArray("weights", rowType, keys * rowVectors),
    columnPeaks: k.workgroupArray("column_peaks", rowType, keyColumns * rowVectors),
    corrections: k.workgroupArray("corrections", rowType, rowVectors),
    peaks: k.workgroupArray("peaks", rowType, rowVectors),
  };
}

// ── Loading ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

interface TileLoader {
  loadKeys(start: Value): void;
  loadValues(start: Value): void;
}

/** Loads tiles with neighbouring invocations at neighbouring vectors. Keys beyond the range are not read; masks hide what then stands there. */
function tileLoader(
  k: KernelBuilder,
  options: AttentionOptions,
  tiling: Tiling,
  { tile, valuesAt }: SharedMemory,
  block: QueryBlock,
  group: BoundGroup,
  range: KeyRange,
  batch: Value,
): TileLoader {
  const { keys, headVectors, keyStride } = tiling;
  const places = keyPlaces(k, group, block, batch, options);
  const load = (start: Value, source: "key" | "value") => {
    const slot = k.let("slot", places.firstSlot(start));
    const present = k.let("present", min(range.to.sub(start).toU32(), keys).mul(headVectors));
    k.for("element", { from: k.localId, to: present, step: tiling.workgroupSize }, (element) => {
      const offset = k.let("offset", element.div(headVectors));
      const component = k.let("component", element.rem(headVectors));
      const place = places[source](slot, offset).add(component);
      const target = source === "key" ? offset.mul(keyStride).add(component) : element.add(valuesAt);
      tile.set(target, group.keys.at(place).toF32());
    });
  };
  return { loadKeys: (start) => load(start, "key"), loadValues: (start) => load(start, "value") };
}

// ── Scoring ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

interface Scorer {
  /** Whether this invocation scores at all; absent when all do. */
  readonly scores: Value | undefined;
  readonly rowVector: Value;
  readonly keyColumn: Value;
  /** Which of the lanes that share the scorer's dot products. */
  readonly lane: Value | undefined;
  /** First vector of each of its rows' queries. */
  readonly queries: readonly Value[];
  readonly tokens: readonly { readonly pos: Value; readonly copy: Value }[];
  readonly peak: Variable;
}

function makeScorer(k: KernelBuilder, options: AttentionOptions, tiling: Tiling, block: QueryBlock): Scorer {
  const { lanes, keyColumns, rowVectors, rowVector, headVectors } = tiling;
  const place = lanes === 1 ? k.localId : k.let("scorer", k.localId.div(lanes));
  const rowPlace = k.let("scored_rows", place.div(keyColumns));
  const rows = count(rowVector, (row) => {
    const own = block.split(k.let("row", clampToBlock(block, rowPlace.mul(rowVector).add(row))));
    const tableRow = k.let("table_row", own.tableRow);
    return { tableRow, query: k.let("query_at", tableRow.mul(options.heads).add(own.head).mul(headVectors)) };
  });
  return {
    scores: rowVectors * keyColumns * lanes === tiling.workgroupSize ? undefined : rowPlace.lt(rowVectors),
    rowVector: rowPlace,
    keyColumn: k.let("key_column", place.rem(keyColumns)),
    lane: lanes === 1 ? undefined : k.let("lane", k.localId.rem(lanes)),
    queries: rows.map(({ query }) => query),
    tokens: rows.map(({ tableRow }) => ({
      pos: k.let("pos", block.position(tableRow)),
      copy: k.let("copy", block.copy(tableRow)),
    })),
    peak: k.var("peak", constantOf(vectorOf("f32", rowVector), lowestPeak)),
  };
}

/** Whether a tile needs its mask: always where the predicate decides, else only where some row does not see all of its keys. */
function isMasked({ part }: BoundGroup, range: KeyRange, start: Value, keys: number): Value {
  if (part.density === "ranged") return start.eq(start);
  const fullTo = min(range.fullTo, range.to);
  return start.lt(range.fullFrom).or(start.add(keys).gt(fullTo));
}

/** For a key index: which of the scorer's rows see it. */
function visibility(
  k: KernelBuilder,
  { predicate }: AttentionOptions,
  block: QueryBlock,
  scorer: Scorer,
  group: BoundGroup,
  range: KeyRange,
): (index: Value) => Value[] {
  const copies = copiesIn(group.group);
  const rows = scorer.tokens.map((token) => {
    const { lo, hi } = boundsOf(k, group, token, block.length);
    return { token, lo, hi: k.let("end", min(hi, range.to)) };
  });
  return (index) => {
    if (group.part.density === "dense") return rows.map(({ lo, hi }) => index.ge(lo).and(index.lt(hi)));
    const keyPos = k.let("key_pos", index.div(copies));
    const keyCopy = k.let("key_copy", index.rem(copies).add(group.group.firstCopy));
    return rows.map(({ token, lo, hi }) => {
      const coordinates = { "q.pos": token.pos, "q.copy": token.copy, "k.pos": keyPos, "k.copy": keyCopy };
      return allOf(index.ge(lo), index.lt(hi), predicateValue(k, predicate, coordinates));
    });
  };
}

/** Scores of each of the scorer's keys, a vector over its rows; publishes the highest of them. */
function score(
  k: KernelBuilder,
  options: AttentionOptions,
  tiling: Tiling,
  { tile, columnPeaks }: SharedMemory,
  scorer: Scorer,
  query: Memory,
  mask: (scores: Variable, key: Value) => void,
): Variable[] {
  const { keysEach, keyColumns, rowVector, rowVectors, headVectors, keyStride, lanes } = tiling;
  const zero = constantOf(vectorOf("f32", tiling.headVector), 0);
  const keys = count(keysEach, (each) => k.let("key", scorer.keyColumn.add(each * keyColumns)));
  const products = keys.map(() => count(rowVector, () => k.var("products", zero)));
  const own = (body: () => void) => (scorer.scores ? k.if(scorer.scores, body) : body());

  own(() => {
    k.for("component", { from: scorer.lane ?? u32(0), to: u32(headVectors), step: lanes }, (component) => {
      const queries = scorer.queries.map((at) => k.let("q", query.at(at.add(component))));
      keys.forEach((key, each) => {
        const loaded = k.let("k", tile.at(key.mul(keyStride).add(component)));
        queries.forEach((q, row) => {
          const sum = products[each]![row]!;
          sum.set(fma(q, loaded, sum));
        });
      });
    });
  });

  // Scores times log2(e), so that weights are powers of 2.
  const scale = options.scale * Math.LOG2E;
  const scores = products.map((rows) => {
    const dots = k.let("dots", pack(rows.map(sumOfComponents)));
    return k.var("scores", sumOverLanes(k, dots, lanes).mul(scale));
  });
  own(() => {
    for (const [each, keyScores] of scores.entries()) mask(keyScores, keys[each]!);
    const highest = scores.slice(1).reduce<Value>((a, b) => max(a, b), scores[0]!);
    const place = scorer.keyColumn.mul(rowVectors).add(scorer.rowVector);
    columnPeaks.set(place, highest, scorer.lane && { when: scorer.lane.eq(0) });
  });
  return scores;
}

/** Adds the values of `lanes` neighbouring lanes; all of them get the sum. Invocations stand in subgroups in order. */
function sumOverLanes(k: KernelBuilder, value: Value, lanes: number): Value {
  let sum = value;
  for (let mask = 1; mask < lanes; mask *= 2) sum = k.let("dots", sum.add(k.subgroupShuffleXor("other", sum, mask)));
  return sum;
}

/** Turns scores into weights under the new peak. */
function weigh(
  k: KernelBuilder,
  { keyColumns, rowVectors }: Tiling,
  { weights, columnPeaks, corrections }: SharedMemory,
  scorer: Scorer,
  scores: readonly Variable[],
): void {
  const weighOwn = () => {
    const peak = k.var("new_peak", scorer.peak);
    k.for("column", { to: u32(keyColumns) }, (column) => {
      peak.set(max(peak, columnPeaks.at(column.mul(rowVectors).add(scorer.rowVector))));
    });
    scores.forEach((keyScores, each) => {
      const key = scorer.keyColumn.add(each * keyColumns);
      const weight = exp2(keyScores.sub(peak));
      weights.set(key.mul(rowVectors).add(scorer.rowVector), weight, scorer.lane && { when: scorer.lane.eq(0) });
    });
    const first = scorer.lane ? scorer.keyColumn.add(scorer.lane).eq(0) : scorer.keyColumn.eq(0);
    corrections.set(scorer.rowVector, exp2(scorer.peak.sub(peak)), { when: first });
    scorer.peak.set(peak);
  };
  if (scorer.scores) k.if(scorer.scores, weighOwn);
  else weighOwn();
}

// ── Gathering ────────────────────────────────────────────────────────────────────────────────────────────────────────────

interface Gatherer {
  readonly holds: Value;
  readonly headVector: Value;
  /** First of its row vectors. */
  readonly rowVector: Value;
  /** Which share of the keys of a tile. */
  readonly share: Value;
  /** Place among the gatherers of its share. */
  readonly place: Value;
  /** One vector of the head per row. */
  readonly values: readonly Variable[];
  /** One per row vector. */
  readonly sums: readonly Variable[];
}

function makeGatherer(k: KernelBuilder, tiling: Tiling): Gatherer {
  const { headVectors, gatherRows, gatherVectors, keyShares, rowVector } = tiling;
  const gatherers = headVectors * gatherRows;
  const place = k.let("gatherer", k.localId.rem(gatherers));
  const share = k.let("share", k.localId.div(gatherers));
  return {
    holds: share.lt(keyShares),
    headVector: k.let("head_vector", place.rem(headVectors)),
    rowVector: k.let("gathered_rows", place.div(headVectors).mul(gatherVectors)),
    share,
    place,
    values: count(gatherVectors * rowVector, () => k.var("values", constantOf(vectorOf("f32", tiling.headVector), 0))),
    sums: count(gatherVectors, () => k.var("sums", constantOf(vectorOf("f32", rowVector), 0))),
  };
}

function gather(
  k: KernelBuilder,
  tiling: Tiling,
  { tile, valuesAt, weights, corrections }: SharedMemory,
  gatherer: Gatherer,
  masked: Value,
  present: Value,
): void {
  const { headVectors, rowVector, rowVectors, keys, keyShares } = tiling;
  const addKeys = (end: Value, guarded: boolean) => {
    k.for("key", { from: gatherer.share, to: end, step: keyShares }, (key) => {
      const own = gatherer.sums.map((_, index) =>
        k.let("weight", weights.at(key.mul(rowVectors).add(gatherer.rowVector).add(index))),
      );
      const loaded = tile.at(key.mul(headVectors).add(gatherer.headVector).add(valuesAt));
      // A key that none of these rows sees may never have been written: whatever stands there must not reach a sum, not even times 0.
      const seen = guarded ? own.map(largestComponent).reduce((a, b) => max(a, b)) : undefined;
      const value = k.let("value", seen ? select(seen.gt(0), loaded, constantOf(loaded.type, 0)) : loaded);
      own.forEach((weight, index) => {
        const sum = gatherer.sums[index]!;
        sum.set(sum.add(weight));
        for (let row = 0; row < rowVector; row++) {
          const values = gatherer.values[index * rowVector + row]!;
          values.set(fma(value, weight.component(row), values));
        }
      });
    });
  };
  k.if(gatherer.holds, () => {
    gatherer.sums.forEach((sum, index) => {
      const correction = k.let("correction", corrections.at(gatherer.rowVector.add(index)));
      sum.set(sum.mul(correction));
      for (let row = 0; row < rowVector; row++) {
        const values = gatherer.values[index * rowVector + row]!;
        values.set(values.mul(correction.component(row)));
      }
    });
    k.if(
      masked,
      () => addKeys(k.let("present", present), true),
      () => addKeys(u32(keys), false),
    );
  });
}

/** Publishes the peaks and adds the sums of the other shares to those of the first. */
function finish(
  k: KernelBuilder,
  tiling: Tiling,
  { tile, weights, peaks }: SharedMemory,
  scorer: Scorer,
  gatherer: Gatherer,
): Gathered {
  const { keyShares, rowVector, rowVectors, headVectors, gatherRows } = tiling;
  const gatherers = headVectors * gatherRows;
  const first = scorer.lane ? scorer.keyColumn.add(scorer.lane).eq(0) : scorer.keyColumn.eq(0);
  peaks.set(scorer.rowVector, scorer.peak, { when: scorer.scores ? allOf(scorer.scores, first) : first });
  if (keyShares > 1) {
    const perShare = gatherers * gatherer.values.length;
    const tilePlace = (share: Value, index: number) =>
      share
        .sub(1)
        .mul(perShare)
        .add(gatherer.place)
        .add(index * gatherers);
    const sumPlace = (share: Value, index: number) => share.sub(1).mul(rowVectors).add(gatherer.rowVector).add(index);
    k.barrier();
    k.if(gatherer.holds.and(gatherer.share.gt(0)), () => {
      for (const [index, values] of gatherer.values.entries()) tile.set(tilePlace(gatherer.share, index), values);
      for (const [index, sum] of gatherer.sums.entries()) {
        weights.set(sumPlace(gatherer.share, index), sum, { when: gatherer.headVector.eq(0) });
      }
    });
    k.barrier();
    k.if(gatherer.share.eq(0), () => {
      k.for("other", { from: u32(1), to: u32(keyShares) }, (other) => {
        for (const [index, values] of gatherer.values.entries()) {
          values.set(values.add(tile.at(tilePlace(other, index))));
        }
        for (const [index, sum] of gatherer.sums.entries()) sum.set(sum.add(weights.at(sumPlace(other, index))));
      });
    });
  } else {
    k.barrier();
  }
  const rows = gatherer.values.map((values, index): GatheredRow => {
    const inVector = Math.floor(index / rowVector);
    const place = gatherer.rowVector.add(inVector);
    return {
      row: place.mul(rowVector).add(index % rowVector),
      values,
      sum: gatherer.sums[inVector]!.component(index % rowVector),
      peak: peaks.at(place).component(index % rowVector),
    };
  });
  return { holds: gatherer.share.eq(0), headVector: gatherer.headVector, rows };
}

// ── Vectors ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Scalars as one vector; a single one stays a scalar. */
const pack = (parts: readonly Value[]): Value => (parts.length === 1 ? parts[0]! : vector("f32", parts));

const components = (value: Value): Value[] => count(widthOf(value.type), (index) => value.component(index));

const sumOfComponents = (value: Value): Value => components(value).reduce((a, b) => a.add(b));

const largestComponent = (value: Value): Value => components(value).reduce((a, b) => max(a, b));

function count<T>(length: number, make: (index: number) => T): T[] {
  return Array.from({ length }, (_, index) => make(index));
}
