/**
 * Finds the token at which a ranking of the vocabulary is to be cut, without sorting it.
 *
 * Two bits of the threshold a pass: a pass sums a measure over what lies above each of three candidates, and the highest candidate that
 * still holds enough becomes the next prefix. Sums are taken in a fixed order, so the result is the same in every run.
 */
import { f32, type KernelBuilder, select, u32, type Value } from "../../ir/kernel/builder.js";
import type { Sums } from "./sums.js";
import type { Vocabulary } from "./vocabulary.js";

export interface Ranking {
  /** u32, below 2^bits; greater is better. */
  readonly key: (logit: Value, token: Value) => Value;
  /** An even number. */
  readonly bits: number;
  /** What a token weighs: f32, at least 0. */
  readonly measure: (logit: Value, token: Value) => Value;
}

/** The greatest key such that the tokens at it and above measure at least `target` together; 0 if all of them do not. */
export function findThreshold(
  k: KernelBuilder,
  vocabulary: Vocabulary,
  sums: Sums,
  { key, bits, measure }: Ranking,
  target: Value,
): Value {
  const threshold = k.var("threshold", u32(0));
  k.for("pass", { to: u32(bits / 2) }, (pass) => {
    const shift = k.let("shift", u32(bits - 2).sub(pass.mul(2)));
    const candidates = [1, 2, 3].map((digit) => k.let("candidate", threshold.bitOr(u32(digit).shl(shift))));
    const above = candidates.map(() => k.var("above", f32(0)));
    vocabulary.each((logit, token) => {
      const rank = k.let("rank", key(logit, token));
      const weight = k.let("weight", measure(logit, token));
      for (const [index, sum] of above.entries()) sum.set(sum.add(select(rank.ge(candidates[index]!), weight, 0)));
    });
    for (const [index, total] of sums.of(above).entries()) {
      k.if(total.ge(target), () => threshold.set(candidates[index]!));
    }
  });
  return threshold;
}

/** Sums of several measures over the whole vocabulary. */
export function measureVocabulary(
  k: KernelBuilder,
  vocabulary: Vocabulary,
  sums: Sums,
  measures: readonly Ranking["measure"][],
): Value[] {
  const own = measures.map(() => k.var("measured", f32(0)));
  vocabulary.each((logit, token) => {
    for (const [index, sum] of own.entries()) sum.set(sum.add(measures[index]!(logit, token)));
  });
  return sums.of(own);
}
