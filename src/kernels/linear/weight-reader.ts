/**
 * How a product reads its weights: in blocks that one load brings, given out as vectors of f32 registers.
 *
 * The kernels walk blocks and multiply vectors; what lies in memory (floats, or something that has to be unpacked) is known here only.
 * A vector of weights is made once and used for every row of the input.
 */
import { constantOf, type KernelBuilder, type Memory, type Value, vectorOf } from "../../ir/kernel/builder.js";
import { widthOf } from "../../ir/kernel/types.js";
import { fourInputs } from "./four-inputs.js";
import type { LinearOptions } from "./options.js";
import { bindQuantised } from "./quantised-weights.js";

export interface WeightReader {
  /** Blocks of a row. */
  readonly blocks: number;
  /** Vectors of a block, each as wide as a vector of the input. */
  readonly vectors: number;
  /** Whether the last block of a row ends where the row does; otherwise the weights behind the row are 0. */
  readonly whole: boolean;
  /** A row of the whole matrix, by its number, which is named here. */
  row(name: string, row: Value): WeightRow;
  /** Inputs [first, first + 4) of a row, zeros where the row or an input is not there; `first` is a multiple of 4. */
  four(name: string, row: Value, first: Value, there: Value): Value;
}

export interface WeightRow {
  /** Loads a block; all its weights are 0 where `there` does not hold. */
  load(block: Value, there?: Value): WeightBlock;
}

/** Vector `index` of a loaded block, in f32; emitted where it is called. */
export type WeightBlock = (index: number) => Value;

/**
 * Binds the weights of a product.
 *
 * @param width components of a vector of the input
 * @param partBase the first row of what is bound
 * @param words of a load, where weights are quantised
 */
export function bindWeights(
  k: KernelBuilder,
  options: LinearOptions,
  width: 1 | 2 | 4,
  partBase: Value,
  words: 1 | 2 | 4 = 1,
): WeightReader {
  const { inputs, element, quantised } = options;
  if (quantised !== undefined) return bindQuantised(k, options, quantised, width, words, partBase);
  const weight = k.read("weight", vectorOf(element, width), "weight");
  const vectors = inputs / width;
  return {
    blocks: vectors,
    vectors: 1,
    whole: true,
    row: (name, row) => floatRow(k, weight, k.let(name, row.sub(partBase).mul(vectors))),
    four: (name, row, first, there) => fourInputs(k, name, weight, inputs, row.sub(partBase), first, there),
  };
}

function floatRow(k: KernelBuilder, weight: Memory, start: Value): WeightRow {
  return {
    load: (block, there) => {
      const stored = () => weight.at(start.add(block)).toF32();
      if (there === undefined) {
        const loaded = k.let("w", stored());
        return () => loaded;
      }
      const loaded = k.var("w", constantOf(vectorOf("f32", widthOf(weight.type)), 0));
      k.if(there, () => loaded.set(stored()));
      return () => loaded;
    },
  };
}
