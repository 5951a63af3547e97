/**
 * How long each kernel of a session takes, in the calls that the session recorded.
 *
 * The calls of one kernel run one after the other, layer by layer, as often as a measurement needs. Weights that together are no larger
 * than a cache are copied, and the calls go through the copies in turn: in a step of a whole model, too, a weight comes from memory.
 * Kernels that take far longer than their weights need to come from anywhere are timed without copies.
 */
import type { BoundCall, ComputeDevice, DeviceBuffer, DeviceKernels, Runner } from "../runtime/compute-device.js";
import type { CallWork } from "./count-work.js";
import { totalBytes } from "./count-work.js";
import { arithmeticRate } from "./measure-floor.js";
import type { Floor, KernelReport } from "./report.js";
import { scaled } from "./statistics.js";
import { type TimingOptions, timeCalls, timeSubmissions } from "./time-calls.js";

/** Weights of a kernel are copied until they have this many bytes together: more than the largest last-level caches. */
const rotatedBytes = 192 * 1024 * 1024;
const mostCopies = 8;
/** Of the time of a kernel, what its weights may need to come from memory before it matters where they come from. */
const noticedShare = 0.05;

export interface CountedCalls {
  readonly phase: "prefill" | "decode";
  readonly calls: readonly BoundCall[];
  /** Of each call. */
  readonly works: readonly CallWork[];
}

export interface KernelTimingOptions extends TimingOptions {
  /** Of the weights. */
  readonly dtype: string;
}

/** The kernels of the given phases, the slowest first. What the session holds is worthless afterwards. */
export async function measureKernels(
  device: ComputeDevice,
  kernels: DeviceKernels,
  phases: readonly CountedCalls[],
  floor: Floor,
  options: KernelTimingOptions,
): Promise<KernelReport[]> {
  const runner = device.openRunner(kernels);
  try {
    const reports: KernelReport[] = [];
    for (const { phase, calls, works } of phases) {
      for (const kernel of new Set(calls.map((call) => call.kernel))) {
        const places = [...calls.keys()].filter((place) => calls[place]!.kernel === kernel);
        const own = places.map((place) => calls[place]!);
        const ofOwn = places.map((place) => works[place]!);
        reports.push(await measureKernel(device, runner, phase, own, ofOwn, floor, options));
      }
    }
    return reports.sort((a, b) => b.totalMs - a.totalMs);
  } finally {
    runner.destroy();
  }
}

async function measureKernel(
  device: ComputeDevice,
  runner: Runner,
  phase: KernelReport["phase"],
  calls: readonly BoundCall[],
  works: readonly CallWork[],
  floor: Floor,
  options: KernelTimingOptions,
): Promise<KernelReport> {
  const weights = weightsOf(calls);
  const [once] = (await timeSubmissions(device, runner, calls, 1)) as [number];
  const copies = copiesOfWeights(
    [...weights].reduce((total, { size }) => total + size, 0),
    { roundMs: once, leastMs: options.leastMs, bytesPerSecond: floor.copyBytesPerSecond.median },
  );
  const rotation = await rotateWeights(device, runner, calls, weights, copies);
  try {
    const known = copies === 1 ? once : undefined;
    const round = await timeCalls(device, runner, rotation.calls, floor.submitMs.median, options, known);
    const us = scaled(round, 1000 / rotation.calls.length);
    const average = (of: (work: CallWork) => number) =>
      works.reduce((total, work) => total + of(work), 0) / works.length;
    const bytes = {
      weights: average((work) => work.bytes.weights),
      caches: average((work) => work.bytes.caches),
      activations: average((work) => work.bytes.activations),
    };
    const flops = average((work) => work.flops);
    const perSecond = (amount: number) => (us.median === 0 ? 0 : (amount / us.median) * 1e6);
    const bytesPerSecond = perSecond(totalBytes(bytes));
    const flopsPerSecond = perSecond(flops);
    return {
      kernel: calls[0]!.kernel,
      phase,
      calls: calls.length,
      us,
      totalMs: (us.median * calls.length) / 1000,
      bytes,
      flops,
      bytesPerSecond,
      flopsPerSecond,
      ofFloor: Math.max(
        bytesPerSecond / floor.copyBytesPerSecond.median,
        flopsPerSecond / arithmeticRate(floor, options.dtype),
      ),
      weightCopies: copies,
    };
  } finally {
    for (const buffer of rotation.buffers) buffer.destroy();
  }
}

interface Rotation {
  readonly calls: readonly BoundCall[];
  /** Of the copies. */
  readonly buffers: readonly DeviceBuffer[];
}

function weightsOf(calls: readonly BoundCall[]): ReadonlySet<DeviceBuffer> {
  return new Set(
    calls.flatMap(({ info, buffers }) =>
      buffers.flatMap(({ buffer }, index) => (info.bindings[index]!.role === "weight" ? [buffer] : [])),
    ),
  );
}

/**
 * How many copies of a kernel's weights its calls go through, the weights themselves among them.
 *
 * A round that is short is cheap to repeat, so it always goes through enough. One that is long enough to be timed by itself does so only
 * where its weights, at the rate at which the device copies, would take a part of it that shows.
 */
export function copiesOfWeights(
  bytes: number,
  round: { readonly roundMs: number; readonly leastMs: number; readonly bytesPerSecond: number },
): number {
  const { roundMs, leastMs, bytesPerSecond } = round;
  const fromMemoryMs = (bytes / bytesPerSecond) * 1000;
  if (bytes === 0 || (roundMs >= leastMs && fromMemoryMs < noticedShare * roundMs)) return 1;
  return Math.max(1, Math.min(mostCopies, Math.ceil(rotatedBytes / bytes)));
}

async function rotateWeights(
  device: ComputeDevice,
  runner: Runner,
  calls: readonly BoundCall[],
  weights: ReadonlySet<DeviceBuffer>,
  copies: number,
): Promise<Rotation> {
  const rotated: BoundCall[] = [...calls];
  const allocated: DeviceBuffer[] = [];
  for (let copy = 1; copy < copies; copy++) {
    const twins = await copyBuffers(device, runner, [...weights]);
    allocated.push(...twins.values());
    for (const call of calls) {
      const buffers = call.buffers.map(({ buffer, size }) => ({ buffer: twins.get(buffer) ?? buffer, size }));
      rotated.push({ ...call, buffers });
    }
  }
  return { calls: rotated, buffers: allocated };
}

async function copyBuffers(
  device: ComputeDevice,
  runner: Runner,
  sources: readonly DeviceBuffer[],
): Promise<ReadonlyMap<DeviceBuffer, DeviceBuffer>> {
  const planned = sources.map(({ size }, index) => ({
    name: `copy ${index} of a weight`,
    purpose: "working" as const,
    bytes: size,
  }));
  const targets = [...(await device.allocate(planned)).values()];
  const twins = new Map(sources.map((source, index) => [source, targets[index]!]));
  const commands = [...twins].map(([source, target]) => ({
    kind: "copy" as const,
    ...{ source, target, offset: 0, bytes: source.size },
  }));
  await runner.submit({ what: "copies of weights", commands, reads: [] });
  return twins;
}
