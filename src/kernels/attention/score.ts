/** Scorers: each computes the scores of a few rows against a few keys of a tile, and later their weights. */

import {
  allOf,
  constantOf,
  exp2,
  fma,
  type KernelBuilder,
  max,
  min,
  u32,
  type Value,
  type Variable,
  vectorOf,
} from "../../ir/kernel/builder.js";
import { predicateValue } from "../../ir/kernel/from-integer.js";
import { copiesIn } from "../group-of-row.js";
import { times } from "../times.js";
import { type BoundGroup, boundsOf, type KeyRange, type QueryToken, queryToken, symbolsOfMasks } from "./key-ranges.js";
import type { AttentionBody } from "./key-tile.js";
import { clampToBlock } from "./query-block.js";
import { pack, sumOfComponents } from "./row-vectors.js";
import type { Tiling } from "./tiling.js";

/** Peak of a row that has seen no key. Finite: devices may assume that there are no infinities. */
export const lowestPeak = -1e30;
/** Score of a key that a row does not see; so far below any peak that its weight is 0 without a test. */
export const maskedScore = -2e30;
/** Below any sum of weights, the largest of which is 1. */
export const leastSum = 2 ** -20;

export interface Scorer {
  /** Whether this invocation scores at all; absent when all do. */
  readonly scores: Value | undefined;
  readonly rowVector: Value;
  readonly keyColumn: Value;
  /** Which of the lanes that share the scorer's dot products. */
  readonly lane: Value | undefined;
  /** First vector of each of its rows' queries. */
  readonly queries: readonly Value[];
  readonly tokens: readonly QueryToken[];
  readonly peak: Variable;
}

export function makeScorer({ k, tiling, block, queries }: AttentionBody, groups: readonly BoundGroup[]): Scorer {
  const { lanes, keyColumns, rowVectors, rowVector } = tiling;
  const place = lanes === 1 ? k.localId : k.let("scorer", k.localId.div(lanes));
  const rowPlace = k.let("scored_rows", place.div(keyColumns));
  const rows = times(rowVector, (row) => {
    const own = block.split(k.let("row", clampToBlock(block, rowPlace.mul(rowVector).add(row))));
    const tableRow = k.let("table_row", own.tableRow);
    return { tableRow, query: k.let("query_at", queries.start(tableRow, own.head)) };
  });
  return {
    scores: rowVectors * keyColumns * lanes === tiling.workgroupSize ? undefined : rowPlace.lt(rowVectors),
    rowVector: rowPlace,
    keyColumn: k.let("key_column", place.rem(keyColumns)),
    lane: lanes === 1 ? undefined : k.let("lane", k.localId.rem(lanes)),
    queries: rows.map(({ query }) => query),
    tokens: rows.map(({ tableRow }) => queryToken(k, block, tableRow, symbolsOfMasks(groups))),
    peak: k.var("peak", constantOf(vectorOf("f32", rowVector), lowestPeak)),
  };
}

export type Masked = Value | "always";

export function whereMasked(k: KernelBuilder, masked: Masked, then: () => void, otherwise?: () => void): void {
  if (masked === "always") then();
  else k.if(masked, then, otherwise);
}

/** Whether a tile needs its mask: always where the predicate decides, else only where some row does not see all of its keys. */
export function isMasked(
  { k, tiling }: { readonly k: KernelBuilder; readonly tiling: Pick<Tiling, "keys"> },
  { part }: BoundGroup,
  range: KeyRange,
  start: Value,
): Masked {
  if (part.density === "ranged") return "always";
  const end = min(range.fullTo, range.to);
  return k.let("masked", start.lt(range.fullFrom).or(start.add(tiling.keys).gt(end)));
}

/** For a key index: which of the scorer's rows see it. */
export function visibility(
  { k, options, block }: Pick<AttentionBody, "k" | "options" | "block">,
  scorer: Pick<Scorer, "tokens">,
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
      return allOf(index.ge(lo), index.lt(hi), predicateValue(k, options.predicate, coordinates));
    });
  };
}

/** Scores of each of the scorer's keys, a vector over its rows; publishes the highest of them. */
export function score(
  { k, options, tiling, queries: { memory }, shared }: AttentionBody,
  scorer: Scorer,
  mask: (scores: Variable, key: Value) => void,
): Variable[] {
  const { keysEach, keyColumns, rowVector, rowVectors, headVectors, keyStride, lanes } = tiling;
  const zero = constantOf(vectorOf("f32", tiling.headVector), 0);
  const keys = times(keysEach, (each) => k.let("key", scorer.keyColumn.add(each * keyColumns)));
  const products = keys.map(() => times(rowVector, () => k.var("products", zero)));
  whereScoring(k, scorer, () => {
    k.for("component", { from: scorer.lane ?? u32(0), to: u32(headVectors), step: lanes }, (component) => {
      const queries = scorer.queries.map((at) => k.let("q", memory.at(at.add(component))));
      keys.forEach((key, each) => {
        const loaded = k.let("k", shared.tile.at(key.mul(keyStride).add(component)));
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
  whereScoring(k, scorer, () => {
    for (const [each, keyScores] of scores.entries()) mask(keyScores, keys[each]!);
    const highest = scores.slice(1).reduce<Value>((a, b) => max(a, b), scores[0]!);
    const place = scorer.keyColumn.mul(rowVectors).add(scorer.rowVector);
    shared.columnPeaks.set(place, highest, scorer.lane && { when: scorer.lane.eq(0) });
  });
  return scores;
}

function whereScoring(k: KernelBuilder, { scores }: Scorer, body: () => void): void {
  if (scores === undefined) body();
  else k.if(scores, body);
}

/** Adds the values of `lanes` neighbouring lanes; all of them get the sum. Invocations stand in subgroups in order. */
function sumOverLanes(k: KernelBuilder, value: Value, lanes: number): Value {
  let sum = value;
  for (let mask = 1; mask < lanes; mask *= 2) sum = k.let("dots", sum.add(k.subgroupShuffleXor("other", sum, mask)));
  return sum;
}

/** Turns scores into weights under the new peak. */
export function weigh({ k, tiling, shared }: AttentionBody, scorer: Scorer, scores: readonly Variable[]): void {
  const { keyColumns, rowVectors } = tiling;
  const { weights, columnPeaks, corrections } = shared;
  whereScoring(k, scorer, () => {
    const peak = k.var("new_peak", scorer.peak);
    k.for("column", { to: u32(keyColumns) }, (column) => {
      peak.set(max(peak, columnPeaks.at(column.mul(rowVectors).add(scorer.rowVector))));
    });
    scores.forEach((keyScores, each) => {
      const key = scorer.keyColumn.add(each * keyColumns);
      const weight = exp2(keyScores.sub(peak));
      weights.set(key.mul(rowVectors).add(scorer.rowVector), weight, scorer.lane && { when: scorer.lane.eq(0) });
    });
    corrections.set(scorer.rowVector, exp2(scorer.peak.sub(peak)), { when: isFirst(scorer) });
    scorer.peak.set(peak);
  });
}

/** Makes the final peaks known to gatherers; a barrier must follow. */
export function publishPeaks({ k, shared }: AttentionBody, scorer: Scorer): void {
  whereScoring(k, scorer, () => shared.peaks.set(scorer.rowVector, scorer.peak, { when: isFirst(scorer) }));
}

/** One scorer of each row vector. */
const isFirst = ({ keyColumn, lane }: Scorer): Value => (lane ? keyColumn.add(lane) : keyColumn).eq(0);
