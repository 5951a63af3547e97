/**
 * The weights of a few steps in workgroup memory, for products of many rows on matrix units: asynchronous copies bring a step while others
 * are multiplied, as the weights are stored, and lanes make left operands of them.
 */
import { type KernelBuilder, min, type Value, vectorOf } from "../../ir/kernel/builder.js";
import { inputsOfLoad } from "../../runtime/fragments.js";
import type { Quantisation } from "../../runtime/manifest.js";
import { bandsOf, depthTiles, tileSide, tileWords } from "./matrix-fragments.js";
import { type Accumulator, multiplyTile } from "./matrix-weights.js";
import type { LinearOptions } from "./options.js";
import { leftOperand, multiplyGroups, quantisedStepShape, scalesOfStep } from "./quantised-fragments.js";

/** Weight tiles of a step along the inputs. */
export const stepTiles = 2;
const stepInputs = stepTiles * tileSide;
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

/** A lane's share of a band and step in a stage. */
export interface StagedTile {
  readonly stage: Value;
  /** Place of the band among those of the workgroup. */
  readonly tile: Value;
  readonly lane: Value;
}

export interface StagedWeights {
  /** Starts to copy a step, if there is one; the group is closed in any case, so that waiting counts steps. */
  start(step: Value, stage: Value): void;
  /**
   * Adds the products of a band with a block of rows each to the sums.
   *
   * @param right right operands by tile of the step and block of rows
   */
  multiply(at: StagedTile, right: readonly (readonly Value[])[], sums: readonly Accumulator[]): void;
}

/** Binds the weights of a product; what is returned makes room for their steps. */
export function bindStagedWeights(k: KernelBuilder, options: LinearOptions, plan: StagePlan) {
  const { quantised } = options;
  const bound = quantised ? bindStagedNumbers(k, options, plan, quantised) : bindStagedHalves(k, options, plan);
  return ({ firstBand, columnBase, columnCount, partBase }: ColumnPlaces): StagedWeights => {
    const lastBand = k.let("last_band", columnBase.sub(partBase).add(columnCount).sub(1).div(tileSide));
    // Bands behind the last one repeat it and are not stored.
    const bandOf = (tile: Value) =>
      min(firstBand.add(tile.rem(plan.bands)), lastBand).add(tile.div(plan.bands).mul(bandsOf(options)));
    const { copy, multiply } = bound({ bandOf, partBase });
    return {
      start: (step, stage) => {
        copy(step, stage);
        k.asyncCommit();
      },
      multiply,
    };
  };
}

interface BandPlaces {
  /** The band that is at a place among those of the workgroup. */
  bandOf(tile: Value): Value;
  readonly partBase: Value;
}

interface StagedCopies extends Pick<StagedWeights, "multiply"> {
  copy(step: Value, stage: Value): void;
}

/** Halves: [stage][band][tile of the step][lane], 16 bytes each. */
function bindStagedHalves(k: KernelBuilder, options: LinearOptions, { size, tiles }: StagePlan) {
  const weight = k.read("weight", "vec4<u32>", "weight");
  const depth = depthTiles(options);
  const words = tiles * stepTiles * tileWords;
  return ({ bandOf }: BandPlaces): StagedCopies => {
    const memory = k.workgroupArray("weight_stages", weight.type, weightStages * words);
    return {
      copy: (step, stage) =>
        eachOfStage(k, words, size, (word) => {
          const band = bandOf(k.let("tile", word.div(stepTiles * tileWords)));
          const column = k.let("step_tile", step.mul(stepTiles).add(word.div(tileWords).rem(stepTiles)));
          const from = band.mul(depth).add(column).mul(tileWords).add(word.rem(tileWords));
          k.asyncCopy(memory, stage.mul(words).add(word), weight, from, { when: column.lt(depth) });
        }),
      multiply: ({ stage, tile, lane }, right, sums) => {
        right.forEach((ofTile, part) => {
          const place = stage.mul(words).add(tile.mul(stepTiles).add(part).mul(tileWords)).add(lane);
          multiplyTile(k, options, k.let("w", memory.at(place)), ofTile, sums);
        });
      },
    };
  };
}

/**
 * Small integers: [stage][band][lane], 8 or 16 bytes each, which are both tiles of a step; beside them
 * [stage][band][pair of rows][group of the step] of scales.
 */
function bindStagedNumbers(
  k: KernelBuilder,
  options: LinearOptions,
  { size, tiles }: StagePlan,
  quantised: Quantisation,
) {
  const { bits, group } = quantised;
  const { steps, loads } = quantisedStepShape(options, quantised);
  // A lane's 16 bytes may be more than a step.
  const perLoad = inputsOfLoad(quantised) / stepInputs;
  const weight = k.read("weight", vectorOf("u32", bits === 4 ? 2 : 4), "weight");
  const scales = k.read("weight_scales", "u32", "weight");
  const words = tiles * tileWords;
  const ofBand = scalesOfStep(quantised);
  const groups = Math.max(1, stepInputs / group);
  const scaleWords = tiles * (tileSide / 2) * groups;
  const ends = Math.ceil(options.inputs / stepInputs);
  return ({ bandOf, partBase }: BandPlaces): StagedCopies => {
    const memory = k.workgroupArray("weight_stages", weight.type, weightStages * words);
    const scaleMemory = k.workgroupArray("scale_stages", "u32", weightStages * scaleWords);
    return {
      copy: (step, stage) => {
        const there = { when: step.lt(ends) };
        const load = k.let("load", step.div(perLoad));
        eachOfStage(k, words, size, (word) => {
          const band = bandOf(k.let("tile", word.div(tileWords)));
          const ofLane = band
            .mul(steps * loads)
            .add(load)
            .mul(tileWords)
            .add(word.rem(tileWords));
          const from = ofLane.mul(perLoad).add(step.rem(perLoad));
          k.asyncCopy(memory, stage.mul(words).add(word), weight, from, there);
        });
        eachOfStage(k, scaleWords, size, (word) => {
          const band = bandOf(k.let("tile", word.div((tileSide / 2) * groups))).add(partBase.div(tileSide));
          const first = groups > 1 ? step.mul(groups) : step.div(group / stepInputs);
          const place = k.let("group", first.add(word.rem(groups)));
          const ofStep = band.mul(steps).add(place.div(ofBand.ofLane)).mul(ofBand.words);
          const pair = word.div(groups).rem(tileSide / 2);
          const from = ofStep.add(pair.mul(ofBand.ofLane)).add(place.rem(ofBand.ofLane));
          k.asyncCopy(scaleMemory, stage.mul(scaleWords).add(word), scales, from, there);
        });
      },
      multiply: ({ stage, tile, lane }, right, sums) => {
        const own = k.let("words", memory.at(stage.mul(words).add(tile.mul(tileWords)).add(lane)));
        const firstScale = stage
          .mul(tiles)
          .add(tile)
          .mul(tileSide / 2)
          .add(lane.div(4))
          .mul(groups);
        const ofLane = {
          left: (part: number) => leftOperand(k, options, quantised, own, part),
          scale: (part: number) => scaleMemory.at(firstScale.add(Math.floor((part * tileSide) / group))),
        };
        multiplyGroups(k, options, quantised, ofLane, right, sums);
      },
    };
  };
}

/** Shares the elements of a stage out among the invocations. */
function eachOfStage(k: KernelBuilder, count: number, size: number, body: (element: Value) => void): void {
  for (let first = 0; first < count; first += size) {
    const element = k.let("element", k.localId.add(first));
    if (first + size <= count) body(element);
    else k.if(element.lt(count), () => body(element));
  }
}
