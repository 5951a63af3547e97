/** A sweep, from its points to a report. */
import { type CompileOptions, compileSource, type Program } from "../compile.js";
import { DiagnosticError } from "../diagnostics/diagnostic.js";
import type { Capabilities } from "../ir/kernel/capabilities.js";
import type { ComputeDevice } from "../runtime/compute-device.js";
import { MissingFeature, PhdcError } from "../runtime/errors.js";
import type { Manifest } from "../runtime/manifest.js";
import type { SourceFile } from "../source/source-file.js";
import { generator } from "../version.js";
import type { Effort } from "./effort.js";
import type { HostClocks } from "./host-clocks.js";
import { measureFloor } from "./measure-floor.js";
import { measureGroup, type Outcome, type Watch } from "./measure-group.js";
import type { CompiledPoint } from "./measure-point.js";
import { assertRoom, memoryOf } from "./memory-need.js";
import { ObservedDevice } from "./observed-device.js";
import { comparable } from "./ratios.js";
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
import { describePoint, quantisationOf } from "./sweep.js";

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
  readonly watch?: Watch;
  readonly onSkipped?: (skipped: SkippedPoint) => void;
  /** Asked for when the run is over. */
  machine(): MachineReport;
  readonly commit?: string;
}

const compilations = 3;

/**
 * Measures all points. One that does not fit, or that the device refuses, is skipped with the reason; a model that does not compile ends
 * the run before anything is measured.
 */
export async function runSweep(run: SweepRun): Promise<BenchReport> {
  const date = new Date().toISOString();
  for (const point of run.points) compile(run.sourceOf(point), { target: "webgpu", dtype: "f32" });

  const devices: DeviceReport[] = [];
  const outcomes: Outcome[] = [];
  for (const name of new Set(run.points.map(({ device }) => device))) {
    const opened = await run.openDevice(name);
    try {
      const { report, outcomes: measured } = await measureOn(name, opened, run);
      devices.push(report);
      outcomes.push(...measured);
    } finally {
      opened.device.close();
    }
  }
  // As they were asked for, whatever turns they took.
  const place = (point: Point) => run.points.findIndex((each) => describePoint(each) === describePoint(point));
  outcomes.sort((left, right) => place(left) - place(right));
  const isSkipped = (outcome: Outcome): outcome is SkippedPoint => "reason" in outcome;
  const points = outcomes.filter((outcome): outcome is PointReport => !isSkipped(outcome));
  const skipped = outcomes.filter(isSkipped);
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

/** Everything of one device. */
async function measureOn(
  name: string,
  opened: SweepDevice,
  run: SweepRun,
): Promise<{ readonly report: DeviceReport; readonly outcomes: readonly Outcome[] }> {
  const { effort, clocks, watch = () => {}, onSkipped = () => {} } = run;
  const { device, software, driver, copyBytes, capabilities } = opened;
  const { repeat, leastMs } = effort;
  const floor = await measureFloor(device, capabilities, { repeat, leastMs, copyBytes });
  const bench = { device: new ObservedDevice(device), floor, effort, clocks };

  const outcomes: Outcome[] = [];
  const settle = (outcome: Outcome) => {
    outcomes.push(outcome);
    if ("reason" in outcome) onSkipped(outcome);
  };
  for (const group of groupsOf(run.points.filter((point) => point.device === name))) {
    const compiled: CompiledPoint[] = [];
    for (const point of group) {
      watch(point, "compiling");
      try {
        compiled.push(compilePoint(point, run.sourceOf(point), opened, effort));
      } catch (error) {
        if (!(error instanceof PhdcError)) throw error;
        settle({ ...point, reason: error.message });
      }
    }
    for (const outcome of await measureGroup(bench, compiled, opened.memory, watch)) settle(outcome);
  }
  const report = { device: name, name: opened.name, software, ...(driver !== undefined && { driver }), floor };
  return { report, outcomes };
}

/** Points that are compared with each other, in the order of the first of each. */
function groupsOf(points: readonly Point[]): Point[][] {
  const groups: Point[][] = [];
  for (const point of points) {
    const group = groups.find(([first]) => comparable(first!, point));
    if (group === undefined) groups.push([point]);
    else group.push(point);
  }
  return groups;
}

/** Throws OutOfMemory where a point does not fit even by itself. */
function compilePoint(point: Point, source: PointSource, device: SweepDevice, effort: Effort): CompiledPoint {
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
    program = compile(source, { target, capabilities, dtype, ...quantisationOf(point) });
    times.push(performance.now() - start);
  }
  const memory = memoryOf(program!, point, effort, device.device.limits);
  assertRoom(memory, device.memory);
  return { point, program: program!, compileMs: summarise(times), memory };
}

function compile({ source, set }: PointSource, options: CompileOptions): Program {
  const { program, diagnostics } = compileSource(source, { ...options, set });
  if (program === undefined) throw new DiagnosticError(diagnostics);
  return program;
}
