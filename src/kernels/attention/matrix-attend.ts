/**
 * The core of attention on matrix units: a block of query rows against ranges of keys, with an online softmax.
 *
 * A subgroup holds the queries of 16 rows in registers as left operands. For a tile of keys it multiplies them with the keys, masks what a
 * row does not see, turns scores into weights, and multiplies those with the values: the scores of a product lie over the lanes just as
 * the left operand of the next one wants them. Peaks and sums of a row stay with the four lanes that share it.
 * Scores are kept in units of log 2, which makes every exponential a plain 2^x.
 */
import {
  exp2,
  f32,
  type Memory,
  max,
  packHalves,
  select,
  u32,
  type Value,
  type Variable,
  vector,
  vectorOf,
} from "../../ir/kernel/builder.js";
import { times } from "../times.js";
import type { TakenKeys } from "./attend.js";
import { type BoundGroup, queryToken, symbolsOfMasks } from "./key-ranges.js";
import { type MatrixTileContext, matrixTileLoader } from "./matrix-keys.js";
import type { QueryOperands } from "./matrix-queries.js";
import { cacheFormat } from "./matrix-tiling.js";
import { clampToBlock } from "./query-block.js";
import { isMasked, lowestPeak, maskedScore, visibility, whereMasked } from "./score.js";

/** Neighbouring components of a finished row that an invocation holds. */
export interface FinishedPair {
  /** Query row within the block; may lie beyond its end. */
  readonly row: Value;
  /** The first of the two components; the second, and with it the first, may lie beyond the head. */
  readonly component: Value;
  /** Σ weight · value, `vec2<f32>`. */
  readonly values: Value;
  /** Σ weight. */
  readonly sum: Value;
  /** Highest score, in units of log 2. */
  readonly peak: Value;
}

/** What a subgroup has found out about its 16 rows; an invocation about rows `lane / 4` and eight further on. */
interface RowState {
  /** Which row tile of the block, and which share of its keys. */
  readonly rowTile: Value;
  readonly share: Value;
  readonly lane: Value;
  /** Left operands, one for each step along the head. */
  readonly queries: readonly Value[];
  readonly tokens: readonly ReturnType<typeof queryToken>[];
  readonly peaks: readonly [Variable, Variable];
  /** Of the keys that this lane has seen; the four lanes of a row have not added up yet. */
  readonly sums: readonly [Variable, Variable];
  /** Results, 8 components each. */
  readonly values: Memory;
}

export interface MatrixQueries {
  readonly operands: QueryOperands;
  /** What has to happen before there are queries, while the first keys are on their way. */
  prepare?(): void;
}

/** Calls `store` for every pair of components that an invocation holds in the end. */
export function matrixAttend(
  context: MatrixTileContext,
  { groups, ranges }: TakenKeys,
  { operands, prepare }: MatrixQueries,
  store: (pair: FinishedPair) => void,
): void {
  const { k, tiling } = context;
  const { keys, stages } = tiling;
  const ahead = stages - 1;
  const loaders = groups.map((group, index) => matrixTileLoader(context, group, ranges[index]!));
  const startFirst = (index: number) => {
    const { from, to } = ranges[index]!;
    for (let stage = 0; stage < ahead; stage++) {
      const first = k.let("first_key", from.add(stage * keys));
      k.if(first.lt(to), () => loaders[index]!.start(first, u32(stage)));
      k.asyncCommit();
    }
  };
  if (groups.length > 0) startFirst(0);
  prepare?.();
  const state = makeState(context, operands, groups);
  for (const [index, group] of groups.entries()) {
    const range = ranges[index]!;
    const { start, complete } = loaders[index]!;
    k.comment(`Keys of ${group.group.name}.`);
    const visible = visibility(context, state, group, range);
    k.if(range.from.lt(range.to), () => {
      if (index > 0) {
        // Whoever still works on the last tile of another group reads what is about to be overwritten.
        k.barrier();
        startFirst(index);
      }
      const stage = k.var("stage", u32(0));
      k.for("tile_start", { from: range.from, to: range.to, step: keys }, (first) => {
        if (stages === 1) {
          start(first, stage);
          k.asyncCommit();
        }
        complete(first, stage);
        k.asyncWait(Math.max(0, ahead - 1));
        k.barrier();
        if (stages > 1) {
          // Into the stage whose tile everyone is done with.
          const next = k.let("next", first.add(ahead * keys));
          k.if(next.lt(range.to), () => start(next, stageBefore(stage, stages)));
          k.asyncCommit();
        }
        const masked = isMasked(context, group, range, first);
        attendTile(context, state, { first, stage, masked, visible });
        if (stages === 1) k.barrier();
        else stage.set(stageAfter(stage, stages));
      });
    });
  }
  finish(context, state, store);
}

const stageBefore = (stage: Value, stages: number): Value =>
  stages === 2 ? u32(1).sub(stage) : select(stage.eq(0), u32(stages - 1), stage.sub(1));
const stageAfter = (stage: Value, stages: number): Value =>
  stages === 2 ? u32(1).sub(stage) : select(stage.eq(stages - 1), u32(0), stage.add(1));

function makeState(
  { k, tiling, block }: MatrixTileContext,
  operands: QueryOperands,
  groups: readonly BoundGroup[],
): RowState {
  const { shares, words } = tiling;
  const lane = k.let("lane", k.localId.rem(32));
  const subgroup = k.let("subgroup", k.localId.div(32));
  const rowTile = shares === 1 ? subgroup : k.let("row_tile", subgroup.div(shares));
  const rows = [0, 8].map((below) => k.let("row", clampToBlock(block, rowTile.mul(16).add(lane.div(4)).add(below))));
  return {
    ...{ lane, rowTile, queries: operands({ lane, rowTile, rows }) },
    share: shares === 1 ? u32(0) : k.let("share", subgroup.rem(shares)),
    tokens: rows.map((row) => {
      const place = k.let("table_row", block.split(row).tableRow);
      return queryToken(k, block, place, symbolsOfMasks(groups));
    }),
    peaks: [k.var("peak", f32(lowestPeak)), k.var("peak", f32(lowestPeak))],
    sums: [k.var("sum", f32(0)), k.var("sum", f32(0))],
    values: k.registers("values", "vec4<f32>", words),
  };
}

interface TileWork {
  /** Index of the first key. */
  readonly first: Value;
  readonly stage: Value;
  readonly masked: ReturnType<typeof isMasked>;
  readonly visible: ReturnType<typeof visibility>;
}

function attendTile(context: MatrixTileContext, state: RowState, { first, stage, masked, visible }: TileWork): void {
  const { k, options, tiling, tiles } = context;
  const { keysEach, depth, words, keyStride } = tiling;
  const { lane, share, queries, peaks, sums, values } = state;
  const format = cacheFormat(options);
  const pairs = keysEach / 16;
  const firstKey = k.let("first_key", share.mul(keysEach));
  const keysAt = k.let("keys_at", tiles.at(stage, "key").add(firstKey.mul(keyStride)));
  const valuesAt = k.let("values_at", tiles.at(stage, "value").add(firstKey.mul(keyStride)));
  const scores = k.registers("scores", "vec4<f32>", 2 * pairs);

  // A matrix load brings 16 keys × 16 components: matrices 0 and 1 are the halves of eight keys, 2 and 3 those of the next eight.
  const keyOfLane = k.let("key_of_lane", lane.div(16).mul(8).add(lane.rem(8)).mul(keyStride).add(lane.div(8).rem(2)));
  k.for("key_pair", { to: pairs, unroll: true }, (pair) => {
    for (let step = 0; step < depth; step++) {
      const place = keysAt
        .add(pair.mul(16 * keyStride))
        .add(keyOfLane)
        .add(2 * step);
      const loaded = k.matrixLoad("keys", tiles.memory, place, 4);
      for (const [half, right] of [
        vector("u32", [loaded.x, loaded.y]),
        vector("u32", [loaded.z, loaded.w]),
      ].entries()) {
        const at = pair.mul(2).add(half);
        scores.set(at, k.mma("score", format, queries[step]!, right, scores.at(at)));
      }
    }
  });

  const scale = options.scale * Math.LOG2E;
  const tops = peaks.map((peak) => k.var("top", peak));
  const [upper, lower] = tops as [Variable, Variable];
  k.for("key_tile", { to: 2 * pairs, unroll: true }, (at) => scores.set(at, scores.at(at).mul(scale)));
  const seen = k.registers("seen", "u32", 2 * pairs);
  whereMasked(k, masked, () => {
    const index = k.let("index", first.add(firstKey.add(lane.rem(4).mul(2)).toI32()));
    k.for("key_tile", { to: 2 * pairs, unroll: true }, (at) => {
      const own = k.let("own_scores", scores.at(at));
      const [left, right] = [0, 1].map((next) => visible(k.let("key_index", index.add(at.toI32().mul(8)).add(next))));
      const sees = [left![0]!, right![0]!, left![1]!, right![1]!].map((each) => k.let("sees", each));
      scores.set(
        at,
        vector(
          "f32",
          sees.map((each, i) => select(each, own.component(i), maskedScore)),
        ),
      );
      const bits = [sees[0]!.or(sees[2]!), sees[1]!.or(sees[3]!)];
      let any = k.let("seen_here", select(bits[0]!, u32(0xffff), 0).bitOr(select(bits[1]!, u32(0xffff0000), 0)));
      for (const mask of [4, 8, 16])
        any = k.let("seen_by_more", any.bitOr(k.subgroupShuffleXor("other_seen", any, mask)));
      seen.set(at, any);
    });
  });
  k.for("key_tile", { to: 2 * pairs, unroll: true }, (at) => {
    for (const [row, top] of tops.entries()) {
      top.set(max(top, scores.at(at).component(2 * row), scores.at(at).component(2 * row + 1)));
    }
  });
  const corrections = tops.map((top, row) => {
    let highest: Value = top;
    for (const mask of [1, 2])
      highest = k.let("highest", max(highest, k.subgroupShuffleXor("other_top", highest, mask)));
    top.set(highest);
    const correction = k.let("correction", exp2(peaks[row]!.sub(top)));
    peaks[row]!.set(top);
    sums[row]!.set(sums[row]!.mul(correction));
    return correction;
  }) as [Value, Value];
  const [high, low] = corrections;
  k.for("word", { to: words, unroll: true }, (word) => {
    values.set(word, values.at(word).mul(vector("f32", [high, high, low, low])));
  });
  k.for("key_tile", { to: 2 * pairs, unroll: true }, (at) => {
    const weights = k.let("weights", exp2(scores.at(at).sub(vector("f32", [upper, upper, lower, lower]))));
    scores.set(at, weights);
    for (const [row, sum] of sums.entries()) {
      sum.set(sum.add(weights.component(2 * row)).add(weights.component(2 * row + 1)));
    }
  });

  // Here matrices 0 and 1 are two times eight keys of a word of components, 2 and 3 those of the next word.
  const valueOfLane = k.let("value_of_lane", lane.rem(16).mul(keyStride).add(lane.div(16)));
  const gather = (guarded: boolean) =>
    k.for("key_pair", { to: pairs, unroll: true }, (pair) => {
      const at = pair.mul(2);
      const operand = [scores.at(at), scores.at(at.add(1))].flatMap((own) =>
        [vector("f32", [own.x, own.y]), vector("f32", [own.z, own.w])].map((two) => packHalves(format, two)),
      );
      const left = k.let("weights_operand", vector("u32", operand));
      for (let word = 0; word < words; word += 2) {
        const place = valuesAt
          .add(pair.mul(16 * keyStride))
          .add(valueOfLane)
          .add(word);
        const loaded = k.matrixLoad("values_of_keys", tiles.memory, place, 4, { transposed: true });
        // A key that none of these rows sees may never have been written: whatever stands there must not reach a sum, not even times 0.
        const known = times(4, (part) =>
          guarded ? loaded.component(part).bitAnd(seen.at(at.add(part % 2))) : loaded.component(part),
        );
        for (let half = 0; half < 2 && word + half < words; half++) {
          const right = vector("u32", known.slice(2 * half, 2 * half + 2));
          values.set(word + half, k.mma("gathered", format, left, right, values.at(word + half)));
        }
      }
    });
  whereMasked(
    k,
    masked,
    () => gather(true),
    () => gather(false),
  );
}

/** Adds up what the lanes of a row and the shares of a row tile have, and hands it on. */
function finish({ k, tiling, tiles }: MatrixTileContext, state: RowState, store: (pair: FinishedPair) => void): void {
  const { shares, words, rowTiles } = tiling;
  const { lane, rowTile, share, peaks, values } = state;
  const rows = [0, 8].map((below) => k.let("own_row", rowTile.mul(16).add(lane.div(4)).add(below)));
  const component = k.let("component", lane.rem(4).mul(2));
  const sums = state.sums.map((own) => {
    let sum: Value = own;
    for (const mask of [1, 2]) sum = k.let("row_sum", sum.add(k.subgroupShuffleXor("other_sum", sum, mask)));
    return sum;
  });
  const handOn = (word: Value, own: Value, sum: readonly Value[], peak: readonly Value[]) => {
    for (const [index, row] of rows.entries()) {
      store({
        ...{ row, component: component.add(word.mul(8)), sum: sum[index]!, peak: peak[index]! },
        values: vector("f32", [own.component(2 * index), own.component(2 * index + 1)]),
      });
    }
  };
  if (shares === 1) {
    k.for("word", { to: words, unroll: true }, (word) => handOn(word, values.at(word), sums, peaks));
    return;
  }

  k.comment("The memory of the tiles, which nobody needs any more, takes the results of all shares.");
  const stats = k.workgroupArray("stats", "vec2<f32>", rowTiles * shares * 16);
  const placeOf = (own: Value, word: Value) => rowTile.mul(shares).add(own).mul(words).add(word).mul(32).add(lane);
  const statsOf = (own: Value, row: number) =>
    rowTile
      .mul(shares)
      .add(own)
      .mul(16)
      .add(lane.div(4))
      .add(8 * row);
  k.barrier();
  k.for("word", { to: words, unroll: true }, (word) => {
    tiles.memory.set(placeOf(share, word), values.at(word).bitcast("u32"));
  });
  for (const row of [0, 1]) {
    stats.set(statsOf(share, row), vector("f32", [peaks[row]!, sums[row]!]), { when: lane.rem(4).eq(0) });
  }
  k.barrier();
  const all = times(shares, (own) => [0, 1].map((row) => k.let("part_stats", stats.at(statsOf(u32(own), row)))));
  const peak = [0, 1].map((row) => {
    const [first, ...others] = all.map((own) => own[row]!.x) as [Value, ...Value[]];
    return k.let("joint_peak", max(first, ...others));
  });
  const factors = all.map((own) => own.map(({ x }, row) => k.let("factor", exp2(x.sub(peak[row]!)))));
  const sum = [0, 1].map((row) =>
    k.let(
      "joint_sum",
      all.map((own, index) => own[row]!.y.mul(factors[index]![row]!)).reduce((a, b) => a.add(b)),
    ),
  );
  k.for("word", { from: share, to: u32(words), step: shares }, (word) => {
    const parts = times(shares, (own) => {
      const [upper, lower] = factors[own]! as [Value, Value];
      const stored = tiles.memory.at(placeOf(u32(own), word)).bitcast("f32");
      return stored.mul(vector("f32", [upper, upper, lower, lower]));
    });
    handOn(
      word,
      k.let(
        "joint",
        parts.reduce((a, b) => a.add(b)),
      ),
      sum,
      peak,
    );
  });
}

/** Stores a pair of components where they are there; `at` is the place of the first, in components. */
export function storePair(memory: Memory, width: number, at: Value, { component, values }: FinishedPair): void {
  if (memory.type === "vec2<f32>") {
    memory.set(at.div(2), values, width % 8 === 0 ? {} : { when: component.lt(width) });
    return;
  }
  memory.set(at, values.x, { when: component.lt(width) });
  memory.set(at.add(1), values.y, { when: component.add(1).lt(width) });
}

/** The tables of what a kernel reads and writes in pairs, where a head falls into pairs. */
export const pairType = (width: number) => vectorOf("f32", width % 2 === 0 ? 2 : 1);
