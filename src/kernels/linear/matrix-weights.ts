/**
 * How products on matrix units get their weights: the left operands of a band of 16 outputs, in steps along the inputs.
 *
 * The kernels walk steps and bring the right operands; what lies in memory is known here only. A left operand is made once and used
 * for every row of the input.
 */
import { constantOf, type KernelBuilder, type Memory, type Value } from "../../ir/kernel/builder.js";
import { depthTiles, halfFormat, tileWords } from "./matrix-fragments.js";
import type { LinearOptions } from "./options.js";
import { bindQuantisedFragments, quantisedStepShape } from "./quantised-fragments.js";

/** A step: the inputs whose weights a lane loads together. */
export interface StepShape {
  /** Tiles of 16 inputs. */
  readonly tiles: number;
  /** Steps of a band; the last one may reach behind the inputs. */
  readonly steps: number;
  /** 16-byte loads of a lane. */
  readonly loads: number;
  /** Registers that they fill, with those of scales. */
  readonly registers: number;
}

/** A sum that products are added to: C and D of a fragment. */
export interface Accumulator {
  get(): Value;
  set(value: Value): void;
}

/** The weights of a step, in registers. */
export interface LoadedStep {
  /**
   * Adds the products with a run of tiles of the step to the sums.
   *
   * @param first the first of them
   * @param right right operands by tile and block of rows
   * @param sums one for every block of rows
   */
  multiply(first: number, right: readonly (readonly Value[])[], sums: readonly Accumulator[]): void;
}

export interface WeightBand {
  /** Loads a step; zeros where `there` is given and does not hold. */
  load(step: Value, there?: Value): LoadedStep;
  /** Asks for so many steps before they are loaded (`dependent-launch`); for lane 0, and all of them are there. */
  prefetch(step: Value, count: number): void;
}

export interface MatrixWeights {
  /** A band by its number in what is bound, whose first word for a lane is named here. */
  band(name: string, band: Value, lane: Value): WeightBand;
}

export function stepShape(options: Pick<LinearOptions, "inputs" | "quantised">): StepShape {
  if (options.quantised) return quantisedStepShape(options, options.quantised);
  return { tiles: 1, steps: depthTiles(options), loads: 1, registers: 4 };
}

/**
 * Binds the weights of a product.
 *
 * @param partBase the first row of what is bound
 */
export function bindMatrixWeights(k: KernelBuilder, options: LinearOptions, partBase: Value): MatrixWeights {
  if (options.quantised) return bindQuantisedFragments(k, options, options.quantised, partBase);
  const weight = k.readOnce("weight", "vec4<u32>");
  const { steps } = stepShape(options);
  return {
    band: (name, band, lane) => {
      const start = k.let(name, band.mul(steps * tileWords).add(lane));
      return {
        load: (step, there) => {
          const left = loadIf(k, "w", weight, start.add(step.mul(tileWords)), there);
          return { multiply: (_, right, sums) => multiplyTile(k, options, left, right[0]!, sums) };
        },
        prefetch: (step, count) => k.prefetch(weight, start.add(step.mul(tileWords)), count * tileWords),
      };
    },
  };
}

/** Adds the products of one left operand with the right ones. */
export function multiplyTile(
  k: KernelBuilder,
  options: LinearOptions,
  left: Value,
  right: readonly Value[],
  sums: readonly Accumulator[],
): void {
  sums.forEach((sum, product) => {
    sum.set(k.mma("next_sum", halfFormat(options), left, right[product]!, sum.get()));
  });
}

/** An element; zeros where `there` is given and does not hold. */
export function loadIf(k: KernelBuilder, name: string, memory: Memory, place: Value, there: Value | undefined): Value {
  if (there === undefined) return k.let(name, memory.at(place));
  const loaded = k.var(name, constantOf(memory.type, 0));
  k.if(there, () => loaded.set(memory.at(place)));
  return loaded;
}
