/**
 * Small integers as left operands of products on matrix units. How they lie in memory is told in `runtime/fragments.ts`.
 *
 * Halves hold whole numbers of 8 bits exactly, so these are multiplied as they are, and the products of a group are scaled: a weight is
 * never rounded, and there are fewer scaled sums than weights. A number becomes a half without a conversion: its bits are put into those
 * of a large number, which is subtracted again.
 */
import {
  addHalves,
  constantOf,
  fma,
  type KernelBuilder,
  u32,
  unpackHalves,
  type Value,
  vector,
  vectorOf,
} from "../../ir/kernel/builder.js";
import type { HalfFormat } from "../../ir/kernel/expressions.js";
import { inputsOfLoad, inputsOfStep } from "../../runtime/fragments.js";
import type { Quantisation } from "../../runtime/manifest.js";
import { times } from "../times.js";
import { halfFormat, tileSide, tileWords } from "./matrix-fragments.js";
import { type Accumulator, loadIf, type MatrixWeights, type StepShape } from "./matrix-weights.js";
import type { LinearOptions } from "./options.js";

export function quantisedStepShape({ inputs }: Pick<LinearOptions, "inputs">, how: Quantisation): StepShape {
  const step = inputsOfStep(how);
  const loads = step / inputsOfLoad(how);
  const registers = 4 * loads + scalesOfStep(how).ofLane;
  return { tiles: step / tileSide, steps: Math.ceil(inputs / step), loads, registers };
}

/** Words that hold the scales of a step for all rows of a band, and how many of them a lane takes. */
export function scalesOfStep(how: Quantisation): { readonly words: number; readonly ofLane: 1 | 2 | 4 } {
  const ofLane = (inputsOfStep(how) / how.group) as 1 | 2 | 4;
  return { words: (tileSide / 2) * ofLane, ofLane };
}

/** Binds the integers of a product and their scales; those are bound whole, whatever part of the integers is. */
export function bindQuantisedFragments(
  k: KernelBuilder,
  options: LinearOptions,
  quantised: Quantisation,
  partBase: Value,
): MatrixWeights {
  const { tiles, steps, loads } = quantisedStepShape(options, quantised);
  const { words, ofLane } = scalesOfStep(quantised);
  const weight = k.readOnce("weight", "vec4<u32>");
  const scales = k.readOnce("weight_scales", vectorOf("u32", ofLane));
  return {
    band: (name, band, lane) => {
      const start = k.let(name, band.mul(steps * loads * tileWords).add(lane));
      const whole = band.add(partBase.div(tileSide));
      const firstScale = k.let(`${name}_scales`, whole.mul((steps * words) / ofLane).add(lane.div(4)));
      return {
        load: (step, there) => {
          const loaded = times(loads, (load) =>
            loadIf(k, "words", weight, start.add(step.mul(loads).add(load).mul(tileWords)), there),
          );
          const scale = loadIf(k, "scales", scales, firstScale.add(step.mul(words / ofLane)), there);
          const tilesOfLoad = tiles / loads;
          const left = (tile: number) =>
            leftOperand(k, options, quantised, loaded[Math.floor(tile / tilesOfLoad)]!, tile % tilesOfLoad);
          return {
            multiply: (first, right, sums) => {
              const scaleOf = (tile: number) => scale.component(Math.floor((tile * tileSide) / quantised.group));
              const run = {
                left: (tile: number) => left(first + tile),
                scale: (tile: number) => scaleOf(first + tile),
              };
              multiplyGroups(k, options, quantised, run, right, sums);
            },
          };
        },
        prefetch: (step, count) => {
          k.prefetch(weight, start.add(step.mul(loads * tileWords)), count * loads * tileWords);
          k.prefetch(scales, firstScale.add(step.mul(words / ofLane)), (count * words) / ofLane);
        },
      };
    },
  };
}

/** What a lane has of a few tiles side by side. */
export interface QuantisedTiles {
  /** The left operand of a tile, made where this is called. */
  left(tile: number): Value;
  /** The scales of the group that a tile lies in, those of both rows of the lane in a word. */
  scale(tile: number): Value;
}

/** Adds the products of tiles that begin where a group does, or lie within one, with the right operands. */
export function multiplyGroups(
  k: KernelBuilder,
  options: LinearOptions,
  { group }: Quantisation,
  { left, scale }: QuantisedTiles,
  right: readonly (readonly Value[])[],
  sums: readonly Accumulator[],
): void {
  const tilesOfGroup = Math.min(right.length, group / tileSide);
  const zeros = constantOf("vec4<f32>", 0);
  for (let first = 0; first < right.length; first += tilesOfGroup) {
    const tiles = times(tilesOfGroup, (tile) => first + tile);
    const multiply = (operand: Value, tile: number, product: number, sum: Value) =>
      k.mma("group_sum", halfFormat(options), operand, right[tile]![product]!, sum);
    const pair = k.let("scale_pair", unpackHalves("bf16", scale(first)));
    const factors = k.let("factors", vector("f32", [pair.x, pair.x, pair.y, pair.y]));
    const add = (sum: Accumulator, ofGroup: Value) => sum.set(fma(factors, ofGroup, sum.get()));
    if (tiles.length < sums.length) {
      // The operands of all tiles take fewer registers than the group's sums for all rows.
      const operands = tiles.map(left);
      sums.forEach((sum, product) => {
        add(
          sum,
          tiles.reduce((all, tile, at) => multiply(operands[at]!, tile, product, all), zeros),
        );
      });
    } else {
      let ofGroup: readonly Value[] = sums.map(() => zeros);
      for (const tile of tiles) {
        const operand = left(tile);
        ofGroup = ofGroup.map((sum, product) => multiply(operand, tile, product, sum));
      }
      sums.forEach((sum, product) => {
        add(sum, ofGroup[product]!);
      });
    }
  }
}

/** The eight numbers of a lane in tile `tile` of `words`, exactly. */
export function leftOperand(
  k: KernelBuilder,
  options: LinearOptions,
  { bits }: Quantisation,
  words: Value,
  tile: number,
): Value {
  const wordsOfTile = bits / 4;
  const pairsOfWord = 16 / bits;
  const pairs = times(wordsOfTile * pairsOfWord, (pair) => {
    const word = words.component(tile * wordsOfTile + Math.floor(pair / pairsOfWord));
    const shift = bits * (pair % pairsOfWord);
    return pairOfHalves(halfFormat(options), bits, shift === 0 ? word : k.let("shifted", word.shr(shift)));
  });
  return k.let("w", vector("u32", pairs));
}

/** The number `x` that lies in the low bits of each half of a word, less 2^(bits - 1), in each half. */
function pairOfHalves(format: HalfFormat, bits: Quantisation["bits"], word: Value): Value {
  const middle = 2 ** (bits - 1);
  // 1024 as f16 and 128 as bf16: one in their last place is 1.
  const large = format === "f16" ? 0x6400 : 0x4300;
  const negative = 0x8000;
  if (format === "bf16" && bits === 8) {
    // The place of the eighth bit belongs to the exponent of 128. So seven are added to it, and the eighth decides whether 128 is
    // subtracted or 256, which differ in that same place.
    const seven = word.bitAnd(inBoth(middle - 1)).bitOr(inBoth(large));
    return addHalves(format, seven, word.bitAnd(inBoth(middle)).bitXor(inBoth(negative | large | middle)));
  }
  const added = word.bitAnd(inBoth(2 ** bits - 1)).bitOr(inBoth(large));
  return addHalves(format, added, inBoth(negative | large | middle));
}

/** A pattern of 16 bits in both halves of a word. */
const inBoth = (half: number): Value => u32(half * 0x10001);
