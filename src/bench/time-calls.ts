/** How long calls take on a device, by the clock, from submission to the news that they are done. */
import type { BoundCall, ComputeDevice, Runner } from "../runtime/compute-device.js";
import { type Summary, summarise } from "./statistics.js";

export interface TimingOptions {
  /** Measurements of each figure. */
  readonly repeat: number;
  /** A submission is repeated within itself until it takes this long, so that what it costs to submit does not count. */
  readonly leastMs: number;
  /** Where one measurement takes so long that all of them exceed this, fewer are taken, though not fewer than three. */
  readonly mostMs?: number;
}

const fewestTimes = 3;

/** Calls of one submission, at most; a device may end a submission that lasts for seconds. */
const mostCalls = 4096;

/** Milliseconds of each of `times` submissions of the same calls, after one that does not count. */
export async function timeSubmissions(
  device: ComputeDevice,
  runner: Runner,
  calls: readonly BoundCall[],
  times: number,
): Promise<number[]> {
  const recording = await runner.record("decode", calls, true);
  const measured: number[] = [];
  for (let time = 0; time <= times; time++) {
    await device.settled();
    const start = performance.now();
    await runner.submit({ what: "a measurement", commands: [{ kind: "run", recording }], reads: [] });
    await device.settled();
    if (time > 0) measured.push(performance.now() - start);
  }
  return measured;
}

/** Milliseconds of one round of `calls`, `overheadMs` of the submission left out. `once` is how long a round took, where that is known. */
export async function timeCalls(
  device: ComputeDevice,
  runner: Runner,
  calls: readonly BoundCall[],
  overheadMs: number,
  { repeat, leastMs, mostMs = Number.POSITIVE_INFINITY }: TimingOptions,
  once?: number,
): Promise<Summary> {
  // What it costs to submit varies. It must be little beside what is measured, and must not make a round look like nothing.
  const without = (ms: number) => Math.max(ms - overheadMs, ms / 8);
  const round = once ?? (await timeSubmissions(device, runner, calls, 1))[0]!;
  const wanted = Math.ceil(Math.max(leastMs, 8 * overheadMs) / without(round));
  const rounds = Math.max(1, Math.min(wanted, Math.floor(mostCalls / calls.length)));
  const measured = Array.from({ length: rounds }, () => calls).flat();
  const affordable = Math.max(fewestTimes, Math.floor(mostMs / (rounds * round)));
  const times = await timeSubmissions(device, runner, measured, Math.min(repeat, affordable));
  return summarise(times.map((ms) => without(ms) / rounds));
}
