/**
 * The weights of a few steps in workgroup memory, for products of many rows on matrix units: asynchronous copies bring a step while others
 * are multiplied, as the weights are stored, and lanes make left operands of them.
 */
import { type KernelBuilder, min, type Value } from "../../ir/kernel/builder.js";
import { bandsOf, depthTiles, tileSide, tileWords } from "./matrix-fragments.js";
import { type Accumulator, multiplyTile } from "./matrix-weights.js";
import type { LinearOptions } from "./options.js";

/** Weight tiles of a step along the inputs. */
export const stepTiles = 2;
/** Steps of weights in workgroup memory: one is multiplied while two are on their way. */
export const weightStages = 3;

/** What a workgroup has of the outputs. */
export interface StagePlan {
  /** Invocations of the workgroup. */
  readonly size: number;
  /** Bands of 16 outputs of each matrix. */
  readonly bands: number;
  /** Those of all matrices, those of the second behind those of the first. */
  readonly tiles: number;
}

/** Where the columns of a workgroup begin and end. */
export interface ColumnPlaces {
  readonly firstBand: Value;
  readonly columnBase: Value;
  readonly columnCount: Value;
  readonly partBase: Value;
}

export interface StagedWeights {
  /** Starts to copy a step, if there is one; the group is closed in any case, so that waiting counts steps. */
  start(step: Value, stage: Value): void;
  /**
   * Adds the products of a tile with a block of rows each to the sums.
   *
   * @param tile place among the tiles of the workgroup
   * @param right right operands by tile of the step and block of rows
   */
  multiply(
    at: { readonly stage: Value; readonly tile: Value; readonly lane: Value },
    right: readonly (readonly Value[])[],
    sums: readonly Accumulator[],
  ): void;
}

/** Binds the weights of a product; what is returned makes room for them: [stage][tile along the outputs][tile of the step][lane]. */
export function bindStagedWeights(k: KernelBuilder, options: LinearOptions, { size, bands, tiles }: StagePlan) {
  const weight = k.read("weight", "vec4<u32>", "weight");
  const depth = depthTiles(options);
  const words = tiles * stepTiles * tileWords;
  return ({ firstBand, columnBase, columnCount, partBase }: ColumnPlaces): StagedWeights => {
    const memory = k.workgroupArray("weight_stages", weight.type, weightStages * words);
    const lastBand = k.let("last_band", columnBase.sub(partBase).add(columnCount).sub(1).div(tileSide));
    return {
      start: (step, stage) => {
        for (let round = 0; round * size < words; round++) {
          const word = k.let("word", k.localId.add(round * size));
          const tile = k.let("tile", word.div(stepTiles * tileWords));
          // Bands behind the last one repeat it and are not stored.
          const band = min(firstBand.add(tile.rem(bands)), lastBand).add(tile.div(bands).mul(bandsOf(options)));
          const column = k.let("step_tile", step.mul(stepTiles).add(word.div(tileWords).rem(stepTiles)));
          const from = band.mul(depth).add(column).mul(tileWords).add(word.rem(tileWords));
          k.asyncCopy(memory, stage.mul(words).add(word), weight, from, { when: column.lt(depth) });
        }
        k.asyncCommit();
      },
      multiply: ({ stage, tile, lane }, right, sums) => {
        right.forEach((ofTile, part) => {
          const place = stage.mul(words).add(tile.mul(stepTiles).add(part).mul(tileWords)).add(lane);
          multiplyTile(k, options, k.let("w", memory.at(place)), ofTile, sums);
        });
      },
    };
  };
}
