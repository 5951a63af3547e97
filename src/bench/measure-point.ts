/** One point of a sweep: a model of true shapes with random weights, loaded on a device and measured in rounds. */
import type { Program } from "../compile.js";
import { textsOf } from "../package/texts.js";
import type { BoundCall } from "../runtime/compute-device.js";
import type { FloatDtype } from "../runtime/dtype.js";
import { loadModel, type Model } from "../runtime/model.js";
import { storedAs } from "../runtime/packing.js";
import type { Session } from "../runtime/session.js";
import type { SessionOptions, SessionShape } from "../runtime/shape.js";
import { type CallWork, countWork, sumBytes, totalBytes } from "./count-work.js";
import { greedy, heapOfSteps, runSteps } from "./decode-steps.js";
import { type Effort, heapSteps, warmUpSteps } from "./effort.js";
import type { HostClocks } from "./host-clocks.js";
import { arithmeticRate } from "./measure-floor.js";
import { measureKernels } from "./measure-kernels.js";
import { type MemoryNeed, sessionOf } from "./memory-need.js";
import type { ObservedDevice } from "./observed-device.js";
import { randomCheckpoint } from "./random-weights.js";
import type { Floor, HostReport, KernelReport, PhaseReport, Point, PointReport } from "./report.js";
import { type Summary, summarise } from "./statistics.js";

export interface CompiledPoint {
  readonly point: Point;
  readonly program: Program;
  readonly compileMs: Summary;
  readonly memory: MemoryNeed;
}

/** What measurements of a point are made with. */
export interface Bench {
  readonly device: ObservedDevice;
  readonly floor: Floor;
  readonly effort: Effort;
  readonly clocks: HostClocks;
}

/** Where a step takes longer than this, what has to warm up is little beside it. */
const slowMs = 3000;

/** A point whose model is on the device. */
export class LoadedPoint {
  readonly point: Point;
  readonly #bench: Bench;
  readonly #compiled: CompiledPoint;
  readonly #model: Model;
  readonly #size: SessionOptions & { readonly context: number };
  readonly #prompts: readonly number[][];
  readonly #loadMs: number;
  readonly #firstTokenMs: number;
  /** Steps take so long that none goes before those that count, no round goes before the first, and none is made for the heap. */
  readonly slow: boolean;
  readonly #warmUp: number;
  readonly #prefillMs: number[] = [];
  readonly #decodeMs: number[] = [];
  readonly #hostMs: number[] = [];
  #ran: Ran | undefined;

  private constructor(
    bench: Bench,
    compiled: CompiledPoint,
    model: Model,
    prompts: readonly number[][],
    times: { readonly loadMs: number; readonly firstTokenMs: number; readonly stepMs: number },
  ) {
    this.point = compiled.point;
    this.#bench = bench;
    this.#compiled = compiled;
    this.#model = model;
    this.#size = sessionOf(compiled.point, bench.effort);
    this.#prompts = prompts;
    this.#loadMs = times.loadMs;
    this.#firstTokenMs = times.firstTokenMs;
    this.slow = times.stepMs > slowMs;
    this.#warmUp = this.slow ? 0 : warmUpSteps;
  }

  /** Loads the model, takes the first token of the prompt, and a step. */
  static async load(bench: Bench, compiled: CompiledPoint): Promise<LoadedPoint> {
    const { point, program } = compiled;
    const { manifest } = program;
    const texts = textsOf(program);
    const checkpoint = randomCheckpoint(manifest, storedDtype(program), bench.effort.seed);
    const prompts = randomPrompts(point, manifest.model.vocab, bench.effort.seed);
    const size = sessionOf(point, bench.effort);
    const loading = performance.now();
    const source = { manifest, checkpoint, readText: async (file: string) => texts.get(file)! };
    const model = await loadModel(bench.device, source, { session: size });
    const loadMs = performance.now() - loading;
    try {
      const starting = performance.now();
      const session = await model.openSession(size);
      try {
        await read(session, prompts);
        const firstTokenMs = performance.now() - starting;
        const { ms: stepMs } = await runSteps(session, 1, bench.clocks);
        return new LoadedPoint(bench, compiled, model, prompts, { loadMs, firstTokenMs, stepMs });
      } finally {
        session.close();
      }
    } catch (error) {
      model.close();
      throw error;
    }
  }

  /** One measurement of prefill and one of decode, in a session of its own, so that all rounds are alike. */
  async measure(): Promise<void> {
    const { device, effort, clocks } = this.#bench;
    const { session, ms } = await this.#readPrompt(this.#size, this.#prompts);
    try {
      const afterPrompt = device.observed;
      await runSteps(session, this.#warmUp, clocks);
      const before = session.lengths[0]!;
      const steps = await runSteps(session, effort.steps, clocks);
      this.#prefillMs.push(ms);
      this.#decodeMs.push(steps.ms);
      this.#hostMs.push(...steps.hostMs);

      const sampling = afterPrompt.recorded.get("sampling") ?? [];
      const { submissions, recorded } = device.observed;
      const perStep = (submissions - afterPrompt.submissions) / (this.#warmUp + effort.steps);
      this.#ran = {
        shape: session.shape,
        prefill: {
          n: this.point.prompt,
          submissions: afterPrompt.submissions,
          calls: [...afterPrompt.slices.flat(), ...sampling],
        },
        decode: {
          n: Math.round((before + 1 + session.lengths[0]!) / 2),
          submissions: perStep,
          calls: [...(recorded.get("decode") ?? []), ...sampling],
        },
      };
    } finally {
      session.close();
    }
  }

  /** Forgets what was measured: it warmed the device up. */
  restart(): void {
    for (const times of [this.#prefillMs, this.#decodeMs, this.#hostMs]) times.length = 0;
  }

  /** What was measured, the work of the programs that ran, the heap of a step, and the times of kernels if they are wanted. */
  async report(measured: PointReport["measured"]): Promise<PointReport> {
    const { floor, effort } = this.#bench;
    const { compileMs, memory } = this.#compiled;
    const ran = this.#ran!;
    const works = { prefill: this.#count("prefill", ran), decode: this.#count("decode", ran) };
    const host = await this.#hostReport();
    const kernels = effort.kernels ? await this.#timeKernels(works) : undefined;
    const phase = (name: Phase, times: readonly number[]) =>
      phaseReport(times, ran[name], works[name], this.#compiled.program.manifest.model.layers, {
        bytesPerSecond: floor.copyBytesPerSecond.median,
        flopsPerSecond: arithmeticRate(floor, this.point.dtype),
      });
    return {
      ...this.point,
      measured,
      memory,
      compileMs,
      loadMs: this.#loadMs,
      firstTokenMs: this.#firstTokenMs,
      prefill: phase("prefill", this.#prefillMs),
      decode: phase("decode", this.#decodeMs),
      host,
      ...(kernels !== undefined && { kernels }),
    };
  }

  /** Frees the model. */
  close(): void {
    this.#model.close();
  }

  /** A new session that has read a prompt, and the milliseconds from the prompt to its first id. */
  async #readPrompt(
    size: SessionOptions & { readonly context: number },
    prompts: readonly number[][],
  ): Promise<{ readonly session: Session; readonly ms: number }> {
    const { device } = this.#bench;
    device.forget();
    const session = await this.#model.openSession(size);
    try {
      // Tables that a session brings along are no part of reading a prompt.
      await device.settled();
      const start = performance.now();
      await read(session, prompts);
      return { session, ms: performance.now() - start };
    } catch (error) {
      session.close();
      throw error;
    }
  }

  #count(phase: Phase, ran: Ran): CallWork[] {
    const { n, calls } = ran[phase];
    const { program } = this.#compiled;
    return countWork({ program, shape: ran.shape, weights: this.#model.weights, phase, n, calls });
  }

  async #timeKernels(works: Readonly<Record<Phase, readonly CallWork[]>>): Promise<KernelReport[]> {
    const { device, floor, effort, clocks } = this.#bench;
    // Calls hold buffers of their session, so it has to be one that is open.
    const { session } = await this.#readPrompt(this.#size, this.#prompts);
    try {
      const { slices, recorded } = device.observed;
      await runSteps(session, 1, clocks);
      const step = [...(device.observed.recorded.get("decode") ?? []), ...(recorded.get("sampling") ?? [])];
      return await measureKernels(
        device.device,
        this.#model.kernels,
        [
          // Sampling moves the decode table on, so the steps that it belongs to are timed last.
          { phase: "prefill", calls: slices.flat(), works: works.prefill },
          { phase: "decode", calls: step, works: works.decode },
        ],
        floor,
        { ...effort, dtype: this.point.dtype },
      );
    } finally {
      session.close();
    }
  }

  async #hostReport(): Promise<HostReport> {
    const { clocks } = this.#bench;
    // Over single steps: a collection of what waiting left behind falls into one of many.
    const report = {
      msPerToken: summarise(this.#hostMs),
      measuredBy: clocks.threadMs === undefined ? ("clock" as const) : ("thread" as const),
    };
    if (clocks.heapBytes === undefined || this.slow) return report;
    const heap = [
      await this.#heapAfter(
        this.#prompts.map((prompt) => prompt.slice(0, shortText)),
        clocks.heapBytes,
      ),
      await this.#heapAfter(this.#prompts, clocks.heapBytes),
    ];
    return { ...report, heap };
  }

  /** What a step leaves on the heap behind prompts. */
  async #heapAfter(prompts: readonly number[][], heapBytes: NonNullable<HostClocks["heapBytes"]>) {
    const { session } = await this.#readPrompt({ ...this.#size, slice: prompts[0]!.length }, prompts);
    try {
      await runSteps(session, this.#warmUp, this.#bench.clocks);
      const n = session.lengths[0]!;
      return { n, bytesPerToken: await heapOfSteps(session, heapSteps, heapBytes) };
    } finally {
      session.close();
    }
  }
}

/** Length, at most, of the short text whose steps are compared with those of the point. */
const shortText = 8;

async function read(session: Session, prompts: readonly number[][]): Promise<void> {
  const ids = await session.prefillAndSample(prompts, greedy);
  await ids();
}

type Phase = "prefill" | "decode";

/** The programs of a round, which are those of every round. */
interface Ran extends Readonly<Record<Phase, RanPhase>> {
  readonly shape: SessionShape;
}

interface RanPhase {
  readonly n: number;
  readonly submissions: number;
  readonly calls: readonly BoundCall[];
}

interface Rates {
  readonly bytesPerSecond: number;
  readonly flopsPerSecond: number;
}

function phaseReport(
  rounds: readonly number[],
  { n, submissions }: RanPhase,
  works: readonly CallWork[],
  layers: number,
  rates: Rates,
): PhaseReport {
  const ms = summarise(rounds);
  const bytes = sumBytes(works);
  const flops = works.reduce((total, work) => total + work.flops, 0);
  const moving = (totalBytes(bytes) / rates.bytesPerSecond) * 1000;
  const computing = (flops / rates.flopsPerSecond) * 1000;
  const floorMs = Math.max(moving, computing);
  return {
    ms,
    rounds: [...rounds],
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

/** The type that floats are stored in, so that nothing has to be converted while they load. */
function storedDtype({ manifest }: Program): FloatDtype {
  const matrix = manifest.weights.find(({ columns, quantised }) => columns > 1 && quantised === undefined);
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
