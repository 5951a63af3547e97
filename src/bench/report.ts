/**
 * What a benchmark writes: `schema/bench.schema.json` is its published form. Times are in milliseconds and rates per second, unless a
 * name says otherwise.
 */
import type { Bytes } from "./count-work.js";
import type { Summary } from "./statistics.js";

export const reportVersion = 2;

export interface BenchReport {
  readonly format: "phdc-bench";
  readonly version: number;
  /** Of the compiler. */
  readonly phdc: string;
  /** ISO 8601, in UTC; when the run began. */
  readonly date: string;
  /** Of the repository that the compiler was built in; absent outside one. */
  readonly commit?: string;
  readonly machine: MachineReport;
  readonly devices: readonly DeviceReport[];
  readonly points: readonly PointReport[];
  /** Points that could not be measured. */
  readonly skipped: readonly SkippedPoint[];
  /** The figures of the paper that ours stand beside. */
  readonly paper: readonly PaperRatio[];
}

export interface MachineReport {
  readonly processor: string;
  readonly processors: number;
  readonly memoryBytes: number;
  readonly platform: string;
  /** `Node v20.20.2`, or a browser. */
  readonly javascript: string;
  /** Processes that wanted to run, on average over a minute, when the run began and when it ended. */
  readonly load: readonly [number, number];
}

export interface DeviceReport {
  /** As points name it: `webgpu`, `cuda`, … */
  readonly device: string;
  readonly name: string;
  /** It computes on the CPU: its times say nothing about a GPU. */
  readonly software: boolean;
  readonly driver?: string;
  /** What the device can do at most, as measured. */
  readonly floor: Floor;
}

/** Rates that bound everything else. */
export interface Floor {
  /** Bytes that a copying kernel reads and writes, together, per second. */
  readonly copyBytesPerSecond: Summary;
  /** Bytes of one copy; both buffers together. */
  readonly copyBytes: number;
  /** Multiplications and additions of f32 in registers, per second. */
  readonly flopsPerSecond: Summary;
  /** The same of f16 on matrix units, with sums in f32; absent where kernels cannot reach any. */
  readonly matrixFlopsPerSecond?: Summary;
  /** Milliseconds of a submission that does nothing, until it is known to be done. */
  readonly submitMs: Summary;
}

/** One model at one size on one device. */
export interface Point {
  readonly model: string;
  readonly variant: string;
  /** K. */
  readonly copies: number;
  /** W, in hidden tokens; absent where the relation has none. */
  readonly window?: number;
  /** C, in positions. */
  readonly chunk?: number;
  /** n: positions of the prompt. */
  readonly prompt: number;
  readonly batch: number;
  /** Of weights and caches; where products read small integers, of everything else. */
  readonly dtype: string;
  /** What the weights of products are stored as; absent where they are floats. */
  readonly quantise?: "int8" | "int4";
  /** Neighbouring inputs that share a scale; only with `quantise`. */
  readonly group?: number;
  readonly device: string;
}

export interface PointReport extends Point {
  /**
   * `in-turn`: each round took one measurement of this point and one of every other of its model, size and device, so that whatever the
   * machine did meanwhile fell on all of them. `alone`: all measurements of this point came one after the other, because the models
   * do not fit into memory together, or because there is nothing to compare it with.
   */
  readonly measured: "in-turn" | "alone";
  readonly memory: { readonly weights: number; readonly caches: number; readonly working: number };
  /** From source text to kernels and manifest. */
  readonly compileMs: Summary;
  /** Weights drawn, converted and brought to the device; kernels of the decode step are compiled meanwhile. */
  readonly loadMs: number;
  /** From the loaded model to the first token of the prompt, kernels of the prefill included. */
  readonly firstTokenMs: number;
  readonly prefill: PhaseReport;
  readonly decode: PhaseReport;
  readonly host: HostReport;
  /** By kernel, of both phases, the slowest first; absent when it was not asked for. */
  readonly kernels?: readonly KernelReport[];
}

export interface PhaseReport {
  /** A whole prompt, or one step. */
  readonly ms: Summary;
  /** The measurements that `ms` summarises, by round. */
  readonly rounds: readonly number[];
  /** Positions behind the phase: of the prompt, or around which steps were timed. */
  readonly n: number;
  readonly submissions: number;
  readonly dispatches: number;
  readonly dispatchesPerLayer: number;
  /** Rows that enter the layers, all layers together. */
  readonly rows: number;
  readonly bytes: Bytes;
  readonly flops: number;
  /** The least time that the device's rates allow: the longer of bytes over copy bandwidth and arithmetic over its rate. */
  readonly floorMs: number;
  readonly floorIs: "bandwidth" | "arithmetic";
  /** Measured median over floor. */
  readonly timesFloor: number;
}

/** What JavaScript costs. */
export interface HostReport {
  /** Time of the host's thread per decoded token, waits for the device excluded. */
  readonly msPerToken: Summary;
  /** `thread`: processor time of the thread; `clock`: the clock, where threads cannot be timed. */
  readonly measuredBy: "thread" | "clock";
  /** Bytes of the heap per decoded token, at a short and at a long text; absent where the heap cannot be measured. */
  readonly heap?: readonly { readonly n: number; readonly bytesPerToken: number }[];
}

export interface KernelReport {
  readonly kernel: string;
  readonly phase: "prefill" | "decode";
  readonly calls: number;
  /** Of one call, in microseconds, averaged over those of a submission. */
  readonly us: Summary;
  /** Of all calls of the phase together. */
  readonly totalMs: number;
  /** Of one call, on average. */
  readonly bytes: Bytes;
  readonly flops: number;
  readonly bytesPerSecond: number;
  readonly flopsPerSecond: number;
  /** Measured bandwidth or arithmetic over the device's, whichever is greater. */
  readonly ofFloor: number;
  /** Copies of the weights that the calls went through in turn. */
  readonly weightCopies: number;
}

export interface SkippedPoint extends Point {
  readonly reason: string;
}

export interface PaperRatio {
  readonly phase: "prefill" | "decode";
  readonly what: string;
  readonly copies: number;
  /** Time over that of the vanilla model. */
  readonly ratio: number;
}

/** Wu et al., arXiv 2504.14992: 550M on one A100, batch 1. */
export const paperRatios: readonly PaperRatio[] = [
  { phase: "prefill", what: "PHD-CSWA, 550M, A100, batch 1", copies: 16, ratio: 1.08 },
  { phase: "decode", what: "PHD-SWA, 550M, A100, batch 1", copies: 256, ratio: 1.18 },
  { phase: "decode", what: "PHD-CSWA, 550M, A100, batch 1", copies: 256, ratio: 1.17 },
];
