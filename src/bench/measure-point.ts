/** One point of a sweep: a model of true shapes with random weights, loaded and run on a device. */
import type { Program } from "../compile.js";
import { textsOf } from "../package/texts.js";
import type { FloatDtype } from "../runtime/dtype.js";
import { OutOfMemory } from "../runtime/errors.js";
import { loadModel, type Model } from "../runtime/model.js";
import { planWeights, storedAs, weightBytes } from "../runtime/packing.js";
import type { Session } from "../runtime/session.js";
import { type SessionOptions, shapeSession } from "../runtime/shape.js";
import { type CallWork, countWork, sumBytes, totalBytes } from "./count-work.js";
import { greedy, heapOfSteps, runSteps } from "./decode-steps.js";
import type { HostClocks } from "./host-clocks.js";
import { arithmeticRate } from "./measure-floor.js";
import { measureKernels } from "./measure-kernels.js";
import type { ObservedDevice } from "./observed-device.js";
import { randomCheckpoint } from "./random-weights.js";
import type { Floor, HostReport, PhaseReport, Point, PointReport } from "./report.js";
import { type Summary, summarise } from "./statistics.js";

export interface Effort {
  /** Measurements of each figure; more are taken before the first that counts. */
  readonly repeat: number;
  /** Steps of one measurement of decode. */
  readonly steps: number;
  /** Whether kernels are timed one by one. */
  readonly kernels: boolean;
  /** Milliseconds that a measurement of a kernel takes at least. */
  readonly leastMs: number;
  /** Of the weights and the prompt. */
  readonly seed: number;
}

export interface CompiledPoint {
  readonly point: Point;
  readonly program: Program;
  readonly compileMs: Summary;
}

const warmUpSteps = 3;
/** Steps whose heap is looked at. */
const heapSteps = 9;

/** How large the session of a point is. The whole prompt is one slice, so that its work is that of one plan. */
export function sessionOf({ prompt, batch }: Point, { repeat, steps }: Effort): SessionOptions & { context: number } {
  return { batch, context: prompt + warmUpSteps + repeat * steps + heapSteps + 1, slice: prompt };
}

export interface MemoryNeed {
  readonly weights: number;
  readonly caches: number;
  readonly working: number;
}

/** What a point needs, before anything is asked for. Throws OutOfMemory where one buffer alone is too large for the device. */
export function memoryOf(program: Program, point: Point, effort: Effort, limits: ObservedDevice["limits"]): MemoryNeed {
  const shape = shapeSession(program.manifest, sessionOf(point, effort), limits);
  const sum = (wanted: (purpose: string) => boolean) =>
    shape.buffers.filter(({ purpose }) => wanted(purpose)).reduce((total, { bytes }) => total + bytes, 0);
  return {
    weights: weightBytes(planWeights(program.manifest, limits)),
    caches: sum((purpose) => purpose === "cache"),
    working: sum((purpose) => purpose !== "cache"),
  };
}

/** Throws OutOfMemory, with the figures, unless a point fits. */
export function assertRoom({ weights, caches, working }: MemoryNeed, allowed: number | undefined): void {
  const needed = weights + caches + working;
  if (allowed === undefined || needed <= allowed) return;
  throw new OutOfMemory(`the model needs ${needed} bytes and ${allowed} are allowed`, {
    details: { needed, allowed, weights, caches, working },
  });
}

export async function measurePoint(
  device: ObservedDevice,
  { point, program, compileMs }: CompiledPoint,
  floor: Floor,
  effort: Effort,
  clocks: HostClocks,
): Promise<PointReport> {
  const { manifest } = program;
  const memory = memoryOf(program, point, effort, device.limits);
  const texts = textsOf(program);
  const size = sessionOf(point, effort);
  const checkpoint = randomCheckpoint(manifest, storedDtype(program), effort.seed);
  const prompts = randomPrompts(point, manifest.model.vocab, effort.seed);

  const loading = performance.now();
  const source = { manifest, checkpoint, readText: async (file: string) => texts.get(file)! };
  const model = await loadModel(device, source, { session: size });
  const loadMs = performance.now() - loading;
  try {
    const starting = performance.now();
    let session = await openAndRead(model, size, prompts);
    const firstTokenMs = performance.now() - starting;

    const prefillTimes: number[] = [];
    for (let run = 0; run <= effort.repeat; run++) {
      session.close();
      device.forget();
      session = await model.openSession(size);
      // Tables that a session brings along are no part of reading a prompt.
      await device.settled();
      const start = performance.now();
      await read(session, prompts);
      if (run > 0) prefillTimes.push(performance.now() - start);
    }
    try {
      const { slices, recorded, submissions: prefillSubmissions } = device.observed;
      const sampling = recorded.get("sampling") ?? [];
      const prefill = { calls: [...slices.flat(), ...sampling], n: point.prompt, phase: "prefill" as const };

      device.forget();
      await runSteps(session, warmUpSteps, clocks);
      const submissions = device.observed.submissions / warmUpSteps;
      const decodeCalls = [...(device.observed.recorded.get("decode") ?? []), ...sampling];
      const first = session.lengths[0]! + 1;
      const blocks = [];
      for (let run = 0; run < effort.repeat; run++) blocks.push(await runSteps(session, effort.steps, clocks));
      const last = session.lengths[0]!;
      const decode = { calls: decodeCalls, n: Math.round((first + last) / 2), phase: "decode" as const };

      const works = {
        prefill: countWork({ ...prefill, program, shape: session.shape, weights: model.weights }),
        decode: countWork({ ...decode, program, shape: session.shape, weights: model.weights }),
      };
      const host = await hostReport(model, session, point, blocks, clocks);
      const kernels = effort.kernels
        ? await measureKernels(
            device.device,
            model.kernels,
            [
              // Sampling moves the decode table on, so the steps that it belongs to are timed last.
              { phase: "prefill", calls: slices.flat(), works: works.prefill },
              { phase: "decode", calls: decodeCalls, works: works.decode },
            ],
            floor,
            { ...effort, dtype: point.dtype },
          )
        : undefined;
      const rates = {
        bytesPerSecond: floor.copyBytesPerSecond.median,
        flopsPerSecond: arithmeticRate(floor, point.dtype),
      };
      return {
        ...point,
        memory,
        compileMs,
        loadMs,
        firstTokenMs,
        prefill: phaseReport(summarise(prefillTimes), point.prompt, prefillSubmissions, works.prefill, program, rates),
        decode: phaseReport(summarise(blocks.map(({ ms }) => ms)), decode.n, submissions, works.decode, program, rates),
        host,
        ...(kernels !== undefined && { kernels }),
      };
    } finally {
      session.close();
    }
  } finally {
    model.close();
  }
}

async function openAndRead(model: Model, size: SessionOptions, prompts: readonly number[][]): Promise<Session> {
  const session = await model.openSession(size);
  await read(session, prompts);
  return session;
}

async function read(session: Session, prompts: readonly number[][]): Promise<void> {
  const ids = await session.prefillAndSample(prompts, greedy);
  await ids();
}

interface Rates {
  readonly bytesPerSecond: number;
  readonly flopsPerSecond: number;
}

function phaseReport(
  ms: Summary,
  n: number,
  submissions: number,
  works: readonly CallWork[],
  program: Program,
  rates: Rates,
): PhaseReport {
  const { layers } = program.manifest.model;
  const bytes = sumBytes(works);
  const flops = works.reduce((total, work) => total + work.flops, 0);
  const moving = (totalBytes(bytes) / rates.bytesPerSecond) * 1000;
  const computing = (flops / rates.flopsPerSecond) * 1000;
  const floorMs = Math.max(moving, computing);
  return {
    ms,
    n,
    submissions,
    dispatches: works.length,
    dispatchesPerLayer: works.filter(({ call }) => call.layer !== undefined).length / Math.max(1, layers),
    rows: rowsOfLayers(works),
    bytes,
    flops,
    floorMs,
    floorIs: moving >= computing ? "bandwidth" : "arithmetic",
    timesFloor: ms.median / floorMs,
  };
}

/** Rows that enter the layers: those of the widest call of each. */
function rowsOfLayers(works: readonly CallWork[]): number {
  const most = new Map<number, number>();
  for (const { call, rows } of works) {
    if (call.layer !== undefined) most.set(call.layer, Math.max(rows, most.get(call.layer) ?? 0));
  }
  return [...most.values()].reduce((total, rows) => total + rows, 0);
}

/** Length, at most, of the short text whose steps are compared with those of the point. */
const shortText = 8;

async function hostReport(
  model: Model,
  session: Session,
  { prompt }: Point,
  blocks: readonly { readonly hostMs: readonly number[] }[],
  clocks: HostClocks,
): Promise<HostReport> {
  // Over single steps: a collection of what waiting left behind falls into one of many.
  const msPerToken = summarise(blocks.flatMap(({ hostMs }) => hostMs));
  const measuredBy = clocks.threadMs === undefined ? "clock" : "thread";
  const { heapBytes } = clocks;
  if (heapBytes === undefined) return { msPerToken, measuredBy };
  const long = { n: session.lengths[0]!, bytesPerToken: await heapOfSteps(session, heapSteps, heapBytes) };
  const { batch, context } = session.shape;
  const length = Math.min(shortText, prompt);
  const short = await openAndRead(
    model,
    { batch, context, slice: length },
    Array.from({ length: batch }, () => new Array<number>(length).fill(0)),
  );
  try {
    await runSteps(short, warmUpSteps, clocks);
    const bytesPerToken = await heapOfSteps(short, heapSteps, heapBytes);
    return { msPerToken, measuredBy, heap: [{ n: length + warmUpSteps, bytesPerToken }, long] };
  } finally {
    short.close();
  }
}

/** The type that weights are stored in, so that nothing has to be converted while they load. */
function storedDtype({ manifest }: Program): FloatDtype {
  const matrix = manifest.weights.find(({ columns }) => columns > 1);
  return matrix === undefined ? "F32" : storedAs(matrix.element);
}

/** Ids without a pattern; random weights make no language of any. */
function randomPrompts({ prompt, batch }: Point, vocab: number, seed: number): number[][] {
  let state = (seed ^ 0x2545f491) >>> 0;
  return Array.from({ length: batch }, () =>
    Array.from({ length: prompt }, () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 2 ** 32) * vocab);
    }),
  );
}
