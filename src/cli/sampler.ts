/**
 * Picks a token from logits on the host, for devices that do not sample themselves: by the same rule and from the same random numbers
 * as the sampling kernels, so that a seed gives the same text on every device, as far as their logits agree.
 */

export interface Sampling {
  /** 0 takes the likeliest token. */
  readonly temperature: number;
  /** Only the k likeliest tokens; 0 for all. */
  readonly topK: number;
  /** Only the likeliest tokens that together have this probability; 1 for all. */
  readonly topP: number;
  readonly seed: number;
}

/** The token that `step` (counted from 0) of a sequence takes. Ties go to the lower id; equal arguments give equal tokens. */
export function sampleToken(logits: ArrayLike<number>, sampling: Sampling, sequence: number, step: number): number {
  const { temperature, topK, topP, seed } = sampling;
  if (temperature === 0) return likeliest(logits);
  const order = Array.from({ length: logits.length }, (_, id) => id).sort((a, b) => logits[b]! - logits[a]! || a - b);
  const kept = topK > 0 ? order.slice(0, topK) : order;
  const best = logits[kept[0]!]!;
  const weights = kept.map((id) => Math.exp((logits[id]! - best) / temperature));
  const total = weights.reduce((sum, weight) => sum + weight, 0);

  // The nucleus: as few of the likeliest tokens as reach the probability, and at least one.
  let count = 0;
  let mass = 0;
  while (count < kept.length && (count === 0 || mass < topP * total)) mass += weights[count++]!;
  // The best of the logits with Gumbel noise is a sample of their softmax.
  const stream = pcg(pcg(pcg(seed) + sequence) + step);
  const noisy = kept
    .slice(0, count)
    .map((id) => (logits[id]! - best) / temperature - Math.log(-Math.log(uniform(stream, id))));
  return kept[likeliest(noisy)]!;
}

export function likeliest(logits: ArrayLike<number>): number {
  let best = 0;
  for (let id = 1; id < logits.length; id++) if (logits[id]! > logits[best]!) best = id;
  return best;
}

/** Strictly between 0 and 1, on 2^23 equal steps. */
function uniform(stream: number, place: number): number {
  return ((pcg(pcg(place) ^ stream) >>> 9) + 0.5) * 2 ** -23;
}

/** PCG-RXS-M-XS on 32 bits, as a hash of one word. */
function pcg(word: number): number {
  const state = (Math.imul(word, 747796405) + 2891336453) >>> 0;
  const mixed = Math.imul((state >>> ((state >>> 28) + 4)) ^ state, 277803737) >>> 0;
  return ((mixed >>> 22) ^ mixed) >>> 0;
}
