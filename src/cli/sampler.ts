/** Picks a token from logits on the host, for devices that do not sample themselves. */

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
  let rest = uniform(seed, sequence, step) * mass;
  for (let index = 0; index < count; index++) {
    rest -= weights[index]!;
    if (rest < 0) return kept[index]!;
  }
  return kept[count - 1]!;
}

export function likeliest(logits: ArrayLike<number>): number {
  let best = 0;
  for (let id = 1; id < logits.length; id++) if (logits[id]! > logits[best]!) best = id;
  return best;
}

/** A number in [0, 1) that depends on all three arguments: PCG's output function over a hash of them. */
function uniform(seed: number, sequence: number, step: number): number {
  return pcg(seed ^ pcg(sequence ^ pcg(step))) / 2 ** 32;
}

function pcg(value: number): number {
  const state = (Math.imul(value, 747796405) + 2891336453) >>> 0;
  const word = Math.imul((state >>> ((state >>> 28) + 4)) ^ state, 277803737) >>> 0;
  return ((word >>> 22) ^ word) >>> 0;
}
