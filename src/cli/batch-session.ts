/** What commands need of a device: logits of a batch, and its continuation. */
import type { CpuSession } from "../interpret/graph/session.js";
import { ContextFull } from "../runtime/errors.js";
import { type GeneratedToken, type GenerateOptions, generate } from "../runtime/generate.js";
import type { Session } from "../runtime/session.js";
import { sampleToken } from "./sampler.js";

export interface BatchSession {
  /** Reads one prompt per sequence and gives the logits of the last position of each. */
  prefill(prompts: readonly (readonly number[])[]): Promise<ArrayLike<number>[]>;
  /** Reads one more id per sequence and gives the logits after each. */
  decode(ids: readonly number[]): Promise<ArrayLike<number>[]>;
  generate(prompts: readonly (readonly number[])[], options: GenerateOptions): AsyncIterable<GeneratedToken>;
  close(): void;
}

export function gpuBatchSession(session: Session): BatchSession {
  return {
    prefill: (prompts) => session.prefill(prompts),
    decode: (ids) => session.decode(ids),
    generate: (prompts, options) => generate(session, prompts, options),
    close: () => session.close(),
  };
}

/** The interpreter grows its caches as it goes; `context` bounds them all the same, so that devices fail alike. */
export function cpuBatchSession(session: CpuSession, context: number): BatchSession {
  return {
    prefill: async (prompts) => {
      assertRoom(Math.max(...prompts.map((ids) => ids.length)), context);
      return session.prefill(prompts);
    },
    decode: async (ids) => {
      assertRoom(Math.max(...session.positions) + 1, context);
      return session.decode(ids) as ArrayLike<number>[];
    },
    generate: (prompts, options) => generateOnCpu(session, prompts, options, context),
    close: () => {},
  };
}

function assertRoom(needed: number, context: number): void {
  if (needed > context) throw new ContextFull(context, needed);
}

async function* generateOnCpu(
  session: CpuSession,
  prompts: readonly (readonly number[])[],
  options: GenerateOptions,
  context: number,
): AsyncGenerator<GeneratedToken> {
  const { maxTokens = Number.POSITIVE_INFINITY, temperature = 0, topK = 0, topP = 1, seed = 0, endIds = [] } = options;
  assertRoom(Math.max(...prompts.map((ids) => ids.length)), context);
  const open = new Set(prompts.keys());
  let logits: readonly (ArrayLike<number> | undefined)[] = session.prefill(prompts);
  for (let step = 0; step < maxTokens; step++) {
    const next: (number | undefined)[] = prompts.map(() => undefined);
    for (const sequence of [...open]) {
      const id = sampleToken(logits[sequence]!, { temperature, topK, topP, seed }, sequence, step);
      if (endIds.includes(id)) {
        open.delete(sequence);
        continue;
      }
      yield { sequence, id };
      options.signal?.throwIfAborted();
      next[sequence] = id;
    }
    if (open.size === 0 || step + 1 === maxTokens) return;
    assertRoom(Math.max(...[...open].map((sequence) => session.positions[sequence]!)) + 1, context);
    logits = session.decode(next);
  }
}
