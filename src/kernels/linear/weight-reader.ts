/**
 * How a product reads its weights: in blocks that one load brings, given out as vectors of f32 registers.
 *
 * The kernels walk blocks and multiply vectors; what lies in memory (floats, or something that has to be unpacked) is known here only.
 * A vector of weights is made once and used for every row of the input.
 */

import { InternalError } from "../../diagnostics/diagnostic.js";
import {
  constantOf,
  type KernelBuilder,
  type Memory,
  unpackHalves,
  type Value,
  vector,
  vectorOf,
} from "../../ir/kernel/builder.js";
import { scalarOf } from "../../ir/kernel/types.js";
import { type FourInputs, fourInputs } from "./four-inputs.js";
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
  /** Registers for blocks of the rows that lie `offsets` behind a row of the whole matrix, whose place is named here, once for all. */
  ahead(name: string, row: Value, offsets: readonly number[]): readonly BlockAhead[];
  /** Registers for four inputs of a row of the whole matrix. */
  four(name: string): FourInputs;
}

export interface WeightRow {
  /** Loads a block; all its weights are 0 where `there` does not hold. */
  load(block: Value, there?: Value): WeightBlock;
}

/** A block of a row that is loaded while the one before it is used; zeros before the first is loaded. */
export interface BlockAhead {
  load(block: Value): void;
  /** What was loaded last, by its number. */
  get(block: Value): WeightBlock;
}

/** Vector `index` of a loaded block, in f32; emitted where it is called. */
export type WeightBlock = (index: number) => Value;

/**
 * Binds the weights of a product.
 *
 * @param width components of a vector of the input
 * @param partBase the first row of what is bound
 * @param words of a load, where weights are quantised or come as pairs of halves (see `halvesInWords`)
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
  if (words === 4 && halvesInWords(options, width)) return bindHalves(k, inputs, partBase);
  const weight = k.read("weight", vectorOf(element, width), "weight");
  const vectors = inputs / width;
  return {
    blocks: vectors,
    vectors: 1,
    whole: true,
    row: (name, row) => {
      const start = k.let(name, row.sub(partBase).mul(vectors));
      return { load: (block, there) => inF32(k, loadIf(k, "stored", weight, start.add(block), there)) };
    },
    ahead: (name, row, offsets) => {
      const start = k.let(name, row.sub(partBase).mul(vectors));
      return offsets.map((offset) => {
        const next = k.var("next_stored", constantOf(asStored(weight, start).type, 0));
        return {
          load: (block) => next.set(asStored(weight, start.add(block).add(offset * vectors))),
          get: () => inF32(k, k.let("stored", next)),
        };
      });
    },
    four: (name) => {
      const four = fourInputs(k, name, weight, inputs);
      return { ...four, load: (row, first, there) => four.load(row.sub(partBase), first, there) };
    },
  };
}

/** Whether weights can be loaded as words of two halves each, 16 bytes at a time: four halves in a vector are only 8. */
export function halvesInWords({ inputs, element, quantised }: LinearOptions, width: number): boolean {
  return quantised === undefined && element === "f16" && width === 4 && inputs % 8 === 0;
}

/** Weights of two bytes, in blocks of eight. `four` has no use for blocks and is not offered. */
function bindHalves(k: KernelBuilder, inputs: number, partBase: Value): WeightReader {
  const weight = k.read("weight", "vec4<u32>", "weight");
  const blocks = inputs / 8;
  return {
    ...{ blocks, vectors: 2, whole: true },
    row: (name, row) => {
      const start = k.let(name, row.sub(partBase).mul(blocks));
      return { load: (block, there) => unpacked(k, loadIf(k, "words", weight, start.add(block), there)) };
    },
    ahead: (name, row, offsets) => {
      const start = k.let(name, row.sub(partBase).mul(blocks));
      return offsets.map((offset) => {
        const next = k.var("next_words", constantOf(weight.type, 0));
        return {
          load: (block) => next.set(weight.at(start.add(block).add(offset * blocks))),
          get: () => unpacked(k, k.let("words", next)),
        };
      });
    },
    four: () => {
      throw new InternalError("blocks of halves are not read by fours");
    },
  };
}

/** Eight halves in four words. */
function unpacked(k: KernelBuilder, words: Value): WeightBlock {
  const pair = (index: number) => unpackHalves("f16", words.component(index));
  const parts = (index: number) => [pair(2 * index), pair(2 * index + 1)].flatMap(({ x, y }) => [x, y]);
  return (index) => k.let("w", vector("f32", parts(index)));
}

function inF32(k: KernelBuilder, loaded: Value): WeightBlock {
  return () => (scalarOf(loaded.type) === "f32" ? loaded : k.let("w", loaded.toF32()));
}

/** An element as it is stored: to convert it beside the load would be to wait for it. There are no constants of bf16. */
function asStored(memory: Memory, index: Value): Value {
  return scalarOf(memory.type) === "bf16" ? memory.at(index).toF32() : memory.at(index);
}

/** What is loaded where `there` holds, else zeros, as it is stored: to convert it here would be to wait for it before the next load. */
function loadIf(k: KernelBuilder, name: string, memory: Memory, index: Value, there: Value | undefined): Value {
  if (there === undefined) return k.let(name, memory.at(index));
  const stored = asStored(memory, index);
  const loaded = k.var(name, constantOf(stored.type, 0));
  k.if(there, () => loaded.set(stored));
  return loaded;
}
