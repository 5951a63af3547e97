/**
 * Text as it comes: tokens of a batch, sampled on the device, as an async iterable.
 */
import { ContextFull, RequestError } from "./errors.js";
import type { SampleValues } from "./program.js";
import type { Session } from "./session.js";

export interface GenerateOptions {
  /** Most tokens per sequence; until the context is full when left out. */
  readonly maxTokens?: number;
  /** 0, the default, takes the likeliest token. */
  readonly temperature?: number;
  /** Samples among this many of the likeliest tokens; among all when 0 or left out. */
  readonly topK?: number;
  /** Samples among the likeliest tokens that together have this probability; 1 when left out. */
  readonly topP?: number;
  /** The same seed gives the same text. */
  readonly seed?: number;
  /** Tokens that end their sequence; they are not given out. */
  readonly endIds?: readonly number[];
  readonly signal?: AbortSignal;
}

/** One token of one sequence. */
export interface GeneratedToken {
  readonly sequence: number;
  readonly id: number;
}

/** Steps submitted before the token of the one before is known to the host. */
const stepsAhead = 1;

/**
 * Reads one prompt per sequence and continues all of them, token by token, in sequence order.
 *
 * A sequence that ends gives no more tokens while the others go on. Throws ContextFull after the last token that fits, if a sequence
 * that wants more has no room. Up to one step is computed beyond what is given out, so a session's caches may know a token more than the
 * caller; read on with `prefill` only in a new session.
 */
export async function* generate(
  session: Session,
  prompts: readonly ArrayLike<number>[],
  options: GenerateOptions = {},
): AsyncGenerator<GeneratedToken, void, undefined> {
  const { maxTokens = Number.POSITIVE_INFINITY, endIds = [], signal } = options;
  const values = sampleValues(options);
  if (maxTokens < 1) return;
  signal?.throwIfAborted();

  const open = new Set(prompts.keys());
  const inFlight: Promise<number[]>[] = [start(await session.prefillAndSample(prompts, values))];
  let submitted = 1;
  const { context } = session.shape;
  const hasRoom = () => [...open].every((sequence) => session.lengths[sequence]! < context);
  try {
    while (open.size > 0 && inFlight.length > 0) {
      while (inFlight.length <= stepsAhead && submitted < maxTokens && hasRoom()) {
        inFlight.push(start(await session.decodeAndSample(endedOf(prompts.length, open))));
        submitted++;
      }
      const ids = await inFlight.shift()!;
      for (const [sequence, id] of ids.entries()) {
        if (!open.has(sequence)) continue;
        if (endIds.includes(id)) open.delete(sequence);
        else yield { sequence, id };
        signal?.throwIfAborted();
      }
      const stuck = open.size > 0 && inFlight.length === 0 && submitted < maxTokens && !hasRoom();
      if (stuck) throw new ContextFull(context, context + 1);
    }
  } finally {
    await Promise.allSettled(inFlight);
  }
}

const endedOf = (batch: number, open: ReadonlySet<number>): ReadonlySet<number> =>
  new Set(Array.from({ length: batch }, (_, sequence) => sequence).filter((sequence) => !open.has(sequence)));

/** Begins to wait now; a failure is reported to whoever awaits the promise later. */
function start(wait: () => Promise<number[]>): Promise<number[]> {
  const promise = wait();
  promise.catch(() => undefined);
  return promise;
}

function sampleValues({ temperature = 0, topK = 0, topP = 1, seed = 0 }: GenerateOptions): SampleValues {
  const fail = (name: string, value: number, range: string) =>
    new RequestError(`${name} is ${value}, which must be ${range}`, { details: { name, value } });
  if (!(temperature >= 0 && temperature < Number.POSITIVE_INFINITY)) {
    throw fail("temperature", temperature, "0 or more");
  }
  if (!Number.isInteger(topK) || topK < 0) throw fail("topK", topK, "a whole number, 0 or more");
  if (!(topP > 0 && topP <= 1)) throw fail("topP", topP, "more than 0 and at most 1");
  if (!Number.isInteger(seed) || seed < 0 || seed > 0xffffffff) throw fail("seed", seed, "a whole number below 2^32");
  return { temperature, topK, topP, seed };
}
