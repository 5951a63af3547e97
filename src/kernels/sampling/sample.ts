/**
 * Draws the next token of each sequence.
 *
 * One workgroup per sequence. Top-k and top-p each cut the ranking of the tokens at a threshold, which a search finds; among tokens with
 * the logit of the threshold itself, those with the smallest ids are kept, so that top-k keeps exactly k and k = 1 is the arg-max. The draw
 * adds Gumbel noise to the logits and takes the best: that is a sample of the softmax, without a normalisation or a running sum.
 */
import {
  buildKernel,
  ceil,
  clamp,
  exp,
  f32,
  type KernelBuilder,
  log,
  max,
  min,
  select,
  u32,
  type Value,
  type Variable,
} from "../../ir/kernel/builder.js";
import type { Kernel } from "../../ir/kernel/kernel.js";
import { bindDecodeTable } from "./advance.js";
import { type SamplingOptions, samplingWorkgroupSize } from "./options.js";
import { randomStream, uniformOf } from "./random.js";
import { type Sums, workgroupSums } from "./sums.js";
import { findThreshold, measureVocabulary } from "./threshold.js";
import { bestToken, bindLogits, lowestScore, type Vocabulary } from "./vocabulary.js";

export function sample(options: SamplingOptions): Kernel {
  const { vocab, copies } = options;
  return buildKernel(
    `sample_${vocab}`,
    {
      doc: `Draws one of ${vocab} tokens by temperature, top-k and top-p, and moves the sequence's ${copies} decode rows on to it.`,
      dispatch: "one workgroup per sequence",
      workgroupSize: samplingWorkgroupSize(options),
    },
    (k) => body(k, options),
  );
}

/** Colder than this is greedy to within the resolution of f32; it keeps 1 / temperature finite. */
const coldest = 1e-6;

function body(k: KernelBuilder, { vocab, copies }: SamplingOptions): void {
  const vocabulary = bindLogits(k, vocab);
  const table = bindDecodeTable(k, copies);
  const temperature = k.param("temperature", "f32");
  const topP = k.param("top_p", "f32");
  const topK = k.param("top_k");
  const seed = k.param("seed");

  const peak = k.let("peak", bestToken(k, vocabulary, (logit) => logit).score);
  const sharpness = k.let("sharpness", f32(1).div(max(temperature, coldest)));
  // Bounded below, so that no product leaves the finite numbers.
  const scaled = (logit: Value) => max(logit.sub(peak), -1e30).mul(sharpness);
  const weight = (logit: Value) => exp(scaled(logit));

  const cut = cutRanking(k, vocabulary, { topK, topP, weight });
  const stream = drawStream(k, () => randomStream(k, seed, k.workgroupId.x, table.steps()));
  const drawn = bestToken(k, vocabulary, (logit, token) => {
    const noise = log(log(uniformOf(k, stream, token)).neg()).neg();
    const noisy = select(temperature.gt(0), scaled(logit).add(noise), logit);
    return select(cut.keeps(logit, token), noisy, lowestScore);
  });
  table.advance(drawn.token);
}

/** One invocation reads the number of the step, which one invocation will later write. */
function drawStream(k: KernelBuilder, make: () => Value): Value {
  const shared = k.workgroupArray("shared_stream", "u32", 1);
  k.if(k.localId.eq(0), () => shared.set(0, make()));
  return k.uniformLoad("stream", shared, 0);
}

interface Cut {
  keeps(logit: Value, token: Value): Value;
}

interface Limits {
  /** 0 keeps all. */
  readonly topK: Value;
  /** 1 keeps all. */
  readonly topP: Value;
  /** Probability of a logit, up to a factor. */
  readonly weight: (logit: Value) => Value;
}

/** What top-k and then top-p leave: all tokens above a threshold, and of those at the threshold a number, smallest ids first. */
function cutRanking(k: KernelBuilder, vocabulary: Vocabulary, { topK, topP, weight }: Limits): Cut {
  const { size } = vocabulary;
  const sums = workgroupSums(k, 3);
  const threshold = k.var("cut", u32(lowestRank));
  const kept = k.var("kept_ties", f32(size));
  const above = (logit: Value) => rankOf(logit).gt(threshold);
  const at = (logit: Value) => rankOf(logit).eq(threshold);
  const one = (condition: Value) => select(condition, f32(1), 0);

  k.if(topK.gt(0).and(topK.lt(size)), () => {
    const ranking = { key: rankOf, bits: 32, measure: () => f32(1) };
    threshold.set(findThreshold(k, vocabulary, sums, ranking, topK.toF32()));
    const [better] = measureVocabulary(k, vocabulary, sums, [(logit) => one(above(logit))]);
    kept.set(topK.toF32().sub(better!));
  });

  k.if(topP.lt(1), () => {
    const ofAbove = (logit: Value) => select(above(logit), weight(logit), 0);
    const count = (logit: Value) => one(at(logit));
    const [mass, ties] = measureVocabulary(k, vocabulary, sums, [ofAbove, count]);
    const total = mass!.add(weight(logitOf(k, threshold)).mul(min(kept, ties!)));
    const target = k.let("target", total.mul(topP));
    const ranking = { key: rankOf, bits: 32, measure: weight };
    const nucleus = k.let("nucleus", findThreshold(k, vocabulary, sums, ranking, target));
    // Inside the top k, unless the nucleus ends among the ties that top-k has thinned out.
    const allTies = k.let("all_ties", nucleus.gt(threshold));
    threshold.set(max(threshold, nucleus));
    const [before] = measureVocabulary(k, vocabulary, sums, [ofAbove]);
    const missing = ceil(target.sub(before!).div(max(weight(logitOf(k, threshold)), leastWeight)));
    kept.set(clamp(missing, 1, select(allTies, f32(size), max(kept, 1))));
  });

  const lastTie = cutTies(k, vocabulary, sums, at, kept, topK.gt(0).or(topP.lt(1)));
  return {
    keeps: (logit, token) => above(logit).or(at(logit).and(reversed(size, token).ge(lastTie))),
  };
}

const leastWeight = 1e-37;

/** Of the tokens at the threshold, keeps the `kept` smallest ids: the rank, by reversed id, that they reach. 0 keeps all. */
function cutTies(
  k: KernelBuilder,
  vocabulary: Vocabulary,
  sums: Sums,
  at: (logit: Value) => Value,
  kept: Variable,
  limited: Value,
): Value {
  const { size } = vocabulary;
  const lastTie = k.var("last_tie", u32(0));
  const tooMany = k.workgroupArray("too_many_ties", "u32", 1);
  k.if(limited, () => {
    const [ties] = measureVocabulary(k, vocabulary, sums, [(logit) => select(at(logit), f32(1), 0)]);
    k.if(k.localId.eq(0), () => tooMany.set(0, select(ties!.gt(kept), u32(1), 0)));
    // Ties are rare where they matter; then the search is worth its passes.
    k.if(k.uniformLoad("ties", tooMany, 0).gt(0), () => {
      const key = (_: Value, token: Value) => reversed(size, token);
      const ranking = { key, bits: evenBits(size), measure: (logit: Value) => select(at(logit), f32(1), 0) };
      lastTie.set(findThreshold(k, vocabulary, sums, ranking, kept));
    });
  });
  return lastTie;
}

/** Counts down from 2^bits - 1, so that smaller ids rank higher. */
const reversed = (size: number, token: Value): Value => u32(2 ** evenBits(size) - 1).sub(token);

const evenBits = (size: number): number => 2 * Math.ceil(Math.log2(size + 1) / 2);

/** Numbers in the order of the logits: the bits of a float, with the sign turned so that they compare as u32. Both zeros rank alike. */
function rankOf(logit: Value): Value {
  const bits = select(logit.eq(0), f32(0), logit).bitcast("u32");
  return bits.bitXor(select(bits.shr(31).eq(1), u32(0xffffffff), u32(0x80000000)));
}

/** The rank of the lowest finite logit. */
const lowestRank = 0x00800000;

/** The logit of a rank. */
function logitOf(k: KernelBuilder, rank: Value): Value {
  const own = k.let("rank_of_cut", rank);
  return own.bitXor(select(own.shr(31).eq(1), u32(0x80000000), u32(0xffffffff))).bitcast("f32");
}
