/** How well a model foretells texts. */

/** What a session of any device does with given tokens. */
export interface Foretelling {
  prefill(prompts: readonly (readonly number[])[]): Promise<readonly (ArrayLike<number> | undefined)[]>;
  decode(ids: readonly number[]): Promise<readonly (ArrayLike<number> | undefined)[]>;
}

export interface Surprise {
  /** Nats, over all tokens but the first. */
  readonly nats: number;
  readonly tokens: number;
  /** The token that the model held for the likeliest, at every place. */
  readonly likeliest: readonly number[];
}

/** Reads texts of one length side by side, token by token as decode does: how surprising the next tokens of each were. */
export async function surprise(session: Foretelling, texts: readonly (readonly number[])[]): Promise<Surprise[]> {
  const { length } = texts[0]!;
  const read = texts.map(() => ({ nats: 0, tokens: length - 1, likeliest: [] as number[] }));
  for (let at = 0; at + 1 < length; at++) {
    const ids = texts.map((text) => text[at]!);
    const all = at === 0 ? await session.prefill(ids.map((id) => [id])) : await session.decode(ids);
    for (const [index, logits] of all.entries()) {
      const values = Float64Array.from(logits!);
      const own = read[index]!;
      own.likeliest.push(greatest(values));
      own.nats += logSumOfExponentials(values) - values[texts[index]![at + 1]!]!;
    }
  }
  return read;
}

/** exp of the mean surprise: between how many equally likely tokens the model seems to choose. */
export function perplexity(read: readonly Surprise[]): number {
  const sum = (of: (text: Surprise) => number) => read.reduce((total, text) => total + of(text), 0);
  return Math.exp(sum(({ nats }) => nats) / sum(({ tokens }) => tokens));
}

function greatest(values: Float64Array): number {
  return values.reduce((best, value, index) => (value > values[best]! ? index : best), 0);
}

function logSumOfExponentials(values: Float64Array): number {
  const peak = values[greatest(values)]!;
  return peak + Math.log(values.reduce((sum, value) => sum + Math.exp(value - peak), 0));
}
