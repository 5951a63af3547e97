/** Decode steps, timed: on the clock, on the host's thread, on the heap. */
import type { SampleValues } from "../runtime/program.js";
import type { Session } from "../runtime/session.js";
import type { HostClocks } from "./host-clocks.js";
import { median } from "./statistics.js";

/** The likeliest token, as most benchmarks decode. */
export const greedy: SampleValues = { temperature: 0, topK: 0, topP: 1, seed: 0 };

/**
 * Runs steps as `generate` does, each submitted before the token of the one before is known. Gives milliseconds of the clock per step,
 * and of the host for each: in which it made and submitted the step.
 */
export async function runSteps(
  session: Session,
  count: number,
  { threadMs = () => performance.now() }: HostClocks,
): Promise<{ readonly ms: number; readonly hostMs: readonly number[] }> {
  const start = performance.now();
  const hostMs: number[] = [];
  let waiting: (() => Promise<number[]>) | undefined;
  for (let step = 0; step < count; step++) {
    // Nothing in between waits for the device: this is what JavaScript does for a token.
    const before = threadMs();
    const next = await session.decodeAndSample();
    hostMs.push(threadMs() - before);
    await waiting?.();
    waiting = next;
  }
  await waiting?.();
  return { ms: (performance.now() - start) / count, hostMs };
}

/** Bytes that a step leaves on the heap: the median over some steps, since a collection may come between. */
export async function heapOfSteps(
  session: Session,
  count: number,
  heapBytes: NonNullable<HostClocks["heapBytes"]>,
): Promise<number> {
  const grown: number[] = [];
  for (let step = 0; step < count; step++) {
    const looking = -heapBytes() + heapBytes();
    const before = heapBytes();
    const wait = await session.decodeAndSample();
    grown.push(heapBytes() - before - looking);
    await wait();
  }
  return Math.max(0, median(grown));
}
