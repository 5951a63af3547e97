/** Gatherers: each adds up weighted values, one vector of the head for a few rows. */

import { constantOf, fma, max, select, u32, type Value, type Variable, vectorOf } from "../../ir/kernel/builder.js";
import { times } from "../times.js";
import type { AttentionBody } from "./key-tile.js";
import { largestComponent } from "./row-vectors.js";
import { type Masked, whereMasked } from "./score.js";

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

export interface Gatherer {
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

export function makeGatherer({ k, tiling }: AttentionBody): Gatherer {
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
    values: times(gatherVectors * rowVector, () => k.var("values", constantOf(vectorOf("f32", tiling.headVector), 0))),
    sums: times(gatherVectors, () => k.var("sums", constantOf(vectorOf("f32", rowVector), 0))),
  };
}

/** Adds a tile; `present` of its keys are there. */
export function gather({ k, tiling, shared }: AttentionBody, gatherer: Gatherer, masked: Masked, present: Value): void {
  const { headVectors, rowVector, rowVectors, keys, keyShares } = tiling;
  const { tile, valuesAt, weights, corrections } = shared;
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
    whereMasked(
      k,
      masked,
      () => addKeys(k.let("present", present), true),
      () => addKeys(u32(keys), false),
    );
  });
}

/** Adds the sums of the other shares to those of the first. */
export function finish(body: AttentionBody, gatherer: Gatherer): Gathered {
  const { k, tiling, shared, queries } = body;
  k.barrier({ buffers: queries.lent });
  if (tiling.keyShares > 1) addShares(body, gatherer);
  const { rowVector } = tiling;
  const rows = gatherer.values.map((values, index): GatheredRow => {
    const [inVector, component] = [Math.floor(index / rowVector), index % rowVector];
    const place = gatherer.rowVector.add(inVector);
    return {
      row: place.mul(rowVector).add(component),
      values,
      sum: gatherer.sums[inVector]!.component(component),
      peak: shared.peaks.at(place).component(component),
    };
  });
  return { holds: gatherer.share.eq(0), headVector: gatherer.headVector, rows };
}

/** The memory of the tile, which nobody needs any more, takes the values of the other shares, and that of the weights their sums. */
function addShares({ k, tiling, shared }: AttentionBody, { holds, headVector, place, share, ...own }: Gatherer): void {
  const { keyShares, rowVectors } = tiling;
  const gatherers = tiling.headVectors * tiling.gatherRows;
  const ofShare = (other: Value, index: number) =>
    other.sub(1).mul(own.values.length).add(index).mul(gatherers).add(place);
  const sumOfShare = (other: Value, index: number) => other.sub(1).mul(rowVectors).add(own.rowVector).add(index);
  k.if(holds.and(share.gt(0)), () => {
    for (const [index, values] of own.values.entries()) shared.tile.set(ofShare(share, index), values);
    for (const [index, sum] of own.sums.entries()) {
      shared.weights.set(sumOfShare(share, index), sum, { when: headVector.eq(0) });
    }
  });
  k.barrier();
  k.if(share.eq(0), () => {
    k.for("other", { from: u32(1), to: u32(keyShares) }, (other) => {
      for (const [index, values] of own.values.entries()) {
        values.set(values.add(shared.tile.at(ofShare(other, index))));
      }
      for (const [index, sum] of own.sums.entries()) sum.set(sum.add(shared.weights.at(sumOfShare(other, index))));
    });
  });
}
