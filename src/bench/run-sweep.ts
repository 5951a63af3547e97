/** A sweep, from its points to a report. */
import { type CompileOptions, compileSource, type Program } from "../compile.js";
import { DiagnosticError } from "../diagnostics/diagnostic.js";
import type { Capabilities } from "../ir/kernel/capabilities.js";
import type { ComputeDevice } from "../runtime/compute-device.js";
import { DeviceLost, MissingFeature, PhdcError } from "../runtime/errors.js";
import type { Manifest } from "../runtime/manifest.js";
import type { SourceFile } from "../source/source-file.js";
import { generator } from "../version.js";
import type { HostClocks } from "./host-clocks.js";
import { measureFloor } from "./measure-floor.js";
import { assertRoom, type CompiledPoint, type Effort, measurePoint, memoryOf } from "./measure-point.js";
import { ObservedDevice } from "./observed-device.js";
import {
  type BenchReport,
  type DeviceReport,
  type MachineReport,
  type Point,
  type PointReport,
  paperRatios,
  reportVersion,
  type SkippedPoint,
} from "./report.js";
import { summarise } from "./statistics.js";

/** A device to measure on. */
export interface SweepDevice {
  readonly device: ComputeDevice;
  readonly name: string;
  /** It computes on the CPU. */
  readonly software: boolean;
  readonly driver?: string;
  readonly target: Manifest["target"];
  readonly capabilities: Capabilities;
  /** Element types that its kernels can be compiled for, the usual one first. */
  readonly dtypes: readonly CompileOptions["dtype"][];
  /** Bytes that may be used; undefined where nobody knows. */
  readonly memory?: number;
  /** Bytes to copy to see its bandwidth: more than its caches hold, and no more than it copies in a second. */
  readonly copyBytes: number;
}

/** The model of a point: its text, and the values of its parameters. */
export interface PointSource {
  readonly source: SourceFile;
  readonly set?: CompileOptions["set"];
}

export interface SweepRun {
  readonly points: readonly Point[];
  readonly effort: Effort;
  sourceOf(point: Point): PointSource;
  openDevice(name: string): Promise<SweepDevice>;
  readonly clocks: HostClocks;
  /** Called before and after each point. */
  readonly onPoint?: (point: Point, outcome?: PointReport | SkippedPoint) => void;
  /** Asked for when the run is over. */
  machine(): MachineReport;
  readonly commit?: string;
}

const compilations = 3;

/**
 * Measures all points, one after the other. A point that does not fit, or that the device refuses, is skipped with the reason; a model
 * that does not compile ends the run before anything is measured.
 */
export async function runSweep(run: SweepRun): Promise<BenchReport> {
  const date = new Date().toISOString();
  for (const point of run.points) compile(run.sourceOf(point), { target: "webgpu", dtype: "f32" });

  const devices: DeviceReport[] = [];
  const points: PointReport[] = [];
  const skipped: SkippedPoint[] = [];
  for (const name of new Set(run.points.map(({ device }) => device))) {
    const opened = await run.openDevice(name);
    try {
      const { software, driver, copyBytes } = opened;
      const floor = await measureFloor(opened.device, opened.capabilities, {
        repeat: run.effort.repeat,
        leastMs: run.effort.leastMs,
        copyBytes,
      });
      devices.push({ device: name, name: opened.name, software, ...(driver !== undefined && { driver }), floor });
      const observed = new ObservedDevice(opened.device);
      let lost: string | undefined;
      for (const point of run.points.filter(({ device }) => device === name)) {
        run.onPoint?.(point);
        const outcome = await attempt(
          point,
          async () => {
            if (lost !== undefined) throw new DeviceLost(lost);
            const compiled = compilePoint(point, run.sourceOf(point), opened);
            assertRoom(memoryOf(compiled.program, point, run.effort, observed.limits), opened.memory);
            return measurePoint(observed, compiled, floor, run.effort, run.clocks);
          },
          (reason) => {
            lost = reason;
          },
        );
        run.onPoint?.(point, outcome);
        if ("reason" in outcome) skipped.push(outcome);
        else points.push(outcome);
      }
    } finally {
      opened.device.close();
    }
  }
  return {
    format: "phdc-bench",
    version: reportVersion,
    phdc: generator,
    date,
    ...(run.commit !== undefined && { commit: run.commit }),
    machine: run.machine(),
    devices,
    points,
    skipped,
    paper: paperRatios,
  };
}

/** What cannot be measured is skipped with the reason. A lost device is told, as nothing can follow on it. */
async function attempt(
  point: Point,
  measure: () => Promise<PointReport>,
  onLost: (reason: string) => void,
): Promise<PointReport | SkippedPoint> {
  try {
    return await measure();
  } catch (error) {
    if (!(error instanceof PhdcError)) throw error;
    if (error instanceof DeviceLost) onLost(error.message);
    return { ...point, reason: error.message };
  }
}

function compilePoint(point: Point, source: PointSource, device: SweepDevice): CompiledPoint {
  const { target, capabilities, dtypes } = device;
  const dtype = dtypes.find((known) => known === point.dtype);
  if (dtype === undefined) {
    throw new MissingFeature(`${device.name} has no ${point.dtype}`, {
      details: { adapter: device.name, features: [point.dtype] },
    });
  }
  const times: number[] = [];
  let program: Program | undefined;
  for (let time = 0; time < compilations; time++) {
    const start = performance.now();
    program = compile(source, { target, capabilities, dtype });
    times.push(performance.now() - start);
  }
  return { point, program: program!, compileMs: summarise(times) };
}

function compile({ source, set }: PointSource, options: CompileOptions): Program {
  const { program, diagnostics } = compileSource(source, { ...options, set });
  if (program === undefined) throw new DiagnosticError(diagnostics);
  return program;
}
