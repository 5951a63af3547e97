/**
 * Weights as small integers with a scale for each group of inputs, unpacked into f32 registers. How they lie in memory is told in
 * `runtime/quantise.ts`.
 *
 * A block is one load of 1, 2 or 4 words, never more than a group, so it has one scale. Its weights are unpacked a vector at a time by
 * shift and mask and scaled there, before any row of the input is multiplied, so more rows cost no more unpacking.
 */
import { constantOf, fill, type KernelBuilder, u32, type Value, vector, vectorOf } from "../../ir/kernel/builder.js";
import type { Quantisation } from "../../runtime/manifest.js";
import { scalesOfRow, wordsOfRow } from "../../runtime/quantise.js";
import { times } from "../times.js";
import type { LinearOptions } from "./options.js";
import type { BlockAhead, WeightBlock, WeightReader, WeightRow } from "./weight-reader.js";

/** With fewer blocks in a row than this many, a workgroup would rather have more of them than larger ones. */
const fewBlocks = 64;

/** Words of one load of the skinny kernel, one or at most so many: registers are scarcer where there are more rows. */
export function wordsOfLoad(inputs: number, { bits, group }: Quantisation, most: number): 1 | 2 | 4 {
  const words = wordsOfRow(inputs, bits);
  const fits = (count: number) =>
    words % count === 0 && (count * 32) / bits <= group && count <= most && words / count >= fewBlocks;
  return fits(4) ? 4 : fits(2) ? 2 : 1;
}

/**
 * Binds quantised weights and their scales.
 *
 * @param width components of a vector of the input
 * @param words words of a block; `four` needs 1
 */
export function bindQuantised(
  k: KernelBuilder,
  { inputs }: LinearOptions,
  quantised: Quantisation,
  width: 1 | 2 | 4,
  words: 1 | 2 | 4,
  partBase: Value,
): WeightReader {
  const { bits, group } = quantised;
  const weight = k.read("weight", vectorOf("u32", words), "weight");
  const scales = k.read("weight_scales", "u32", "weight");
  const perWord = 32 / bits;
  const perBlock = words * perWord;
  const blocks = wordsOfRow(inputs, bits) / words;
  const groups = scalesOfRow(inputs, group);

  /** Two scales share a word: bfloat16, the upper half of an f32. */
  const scaleIn = (word: Value, index: Value): Value => word.shr(index.bitAnd(1).mul(16)).shl(16).bitcast("f32");
  const scaleAt = (index: Value): Value => scaleIn(scales.at(index.shr(1)), index);
  const groupOf = (block: Value) => (perBlock === group ? block : block.div(group / perBlock));

  const row = (name: string, row: Value): WeightRow => {
    const start = k.let(name, row.sub(partBase).mul(blocks));
    // Scales are bound whole, whatever part of the matrix is.
    const firstScale = k.let(`${name}_scales`, row.mul(groups));
    return {
      load: (block, there) => {
        const loaded = loadIf(k, "words", there, () => weight.at(start.add(block)));
        const index = firstScale.add(groupOf(block));
        return unpacked(
          k,
          loaded,
          loadIf(k, "scale", there, () => scaleAt(index)),
          quantised,
          width,
        );
      },
    };
  };

  const ahead = (name: string, row: Value, offsets: readonly number[]): readonly BlockAhead[] => {
    const start = k.let(name, row.sub(partBase).mul(blocks));
    const firstScale = k.let(`${name}_scales`, row.mul(groups));
    const scaleOf = (block: Value, offset: number) => firstScale.add(groupOf(block)).add(offset * groups);
    return offsets.map((offset) => {
      const next = k.var("next_words", constantOf(weight.type, 0));
      const nextScales = k.var("next_scales", u32(0));
      return {
        load: (block) => {
          next.set(weight.at(start.add(block).add(offset * blocks)));
          nextScales.set(scales.at(scaleOf(block, offset).shr(1)));
        },
        get: (block) => {
          const words = k.let("words", next);
          return unpacked(k, words, k.let("scale", scaleIn(nextScales, scaleOf(block, offset))), quantised, width);
        },
      };
    });
  };

  return {
    blocks,
    vectors: perBlock / width,
    whole: blocks * perBlock === inputs,
    row,
    ahead,
    four: (name) => {
      const word = k.var(`${name}_word`, u32(0));
      const shift = k.var(`${name}_shift`, u32(0));
      // A scale of 0 is what makes weights that are not there 0.
      const scale = k.var(`${name}_scale`, constantOf("f32", 0));
      return {
        load: (row, first, there) => {
          scale.set(0);
          if (bits === 4) shift.set(first.bitAnd(4).mul(4));
          k.if(there.and(first.lt(inputs)), () => {
            word.set(weight.at(row.sub(partBase).mul(blocks).add(first.div(perWord))));
            scale.set(scaleAt(row.mul(groups).add(first.div(group))));
          });
        },
        get: () => k.let(name, integers(bits === 8 ? word : word.shr(shift), 0, quantised, 4).mul(scale)),
      };
    },
  };
}

/** What is loaded where `there` holds, else zeros. */
function loadIf(k: KernelBuilder, name: string, there: Value | undefined, load: () => Value): Value {
  if (there === undefined) return k.let(name, load());
  const loaded = k.var(name, constantOf(load().type, 0));
  k.if(there, () => loaded.set(load()));
  return loaded;
}

function unpacked(
  k: KernelBuilder,
  words: Value,
  scale: Value,
  quantised: Quantisation,
  width: 1 | 2 | 4,
): WeightBlock {
  const perWord = 32 / quantised.bits;
  return (index) => {
    const first = index * width;
    const word = words.component(Math.floor(first / perWord));
    return k.let("w", integers(word, first % perWord, quantised, width).mul(scale));
  };
}

/** `width` neighbouring whole numbers of a word, from number `first` on, in f32. */
function integers(word: Value, first: number, { bits }: Quantisation, width: 1 | 2 | 4): Value {
  const type = vectorOf("u32", width);
  const shifts = times(width, (i) => u32(bits * (first + i)));
  return fill(word, type)
    .shr(width === 1 ? shifts[0]! : vector("u32", shifts))
    .bitAnd(constantOf(type, 2 ** bits - 1))
    .toF32()
    .sub(2 ** (bits - 1));
}
