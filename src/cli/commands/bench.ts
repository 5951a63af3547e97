import { totalBytes } from "../../bench/count-work.js";
import { nodeClocks } from "../../bench/node/host-clocks.js";
import { currentCommit, currentLoad, describeMachine } from "../../bench/node/machine.js";
import { overPlain, overSingle } from "../../bench/ratios.js";
import type { BenchReport, Point, PointReport } from "../../bench/report.js";
import { type PointSource, runSweep } from "../../bench/run-sweep.js";
import { shapeNames } from "../../bench/shape-names.js";
import { shapeSource } from "../../bench/shapes.js";
import type { Summary } from "../../bench/statistics.js";
import { describeDtype, describePoint, pointsOf, type QuantiseName, type Sweep } from "../../bench/sweep.js";
import { compileSource } from "../../compile.js";
import { usageDiagnostics } from "../../diagnostics/catalogue-usage.js";
import { DiagnosticError } from "../../diagnostics/diagnostic.js";
import type { Variant } from "../../import/model-config.js";
import type { Quantisation } from "../../runtime/manifest.js";
import { assertWritable, writeFileAtomic } from "../../runtime/node/atomic-write.js";
import type { SourceFile } from "../../source/source-file.js";
import { openSweepDevice } from "../bench-device.js";
import { readSource } from "../files.js";
import { formatBytes, formatLarge, formatTable } from "../format.js";
import { programOf } from "../open-model.js";
import type { Settings } from "../options.js";
import { exitCodes, UsageError } from "../report.js";
import type { Terminal } from "../terminal.js";

export interface BenchOptions {
  readonly device: readonly string[];
  readonly dtype: readonly string[];
  readonly quantize: readonly QuantiseName[];
  readonly group?: Quantisation["group"];
  readonly variant: Variant;
  /** K, W and C; absent where files are to keep their own. */
  readonly copies?: readonly number[];
  readonly window?: readonly number[];
  readonly chunk?: readonly number[];
  readonly prompt: readonly number[];
  readonly batch: readonly number[];
  readonly repeat: number;
  readonly steps: number;
  readonly kernels: boolean;
  readonly seed: number;
  readonly set: Settings;
  readonly output?: string;
  readonly html?: string;
  readonly json?: boolean;
}

/** What is measured where nobody says what: small enough for any device. */
const usualModels = ["llama-4x256"];
const usualCopies = [1, 2, 3, 16];
const usualWindow = [16];
const usualChunk = [32];
const usualGroup = 32;

/** Milliseconds that a measurement of one kernel takes at least. */
const leastMs = 20;
/** Milliseconds that all measurements of one kernel take, about, at most. */
const mostMs = 2000;

/** `phdc bench [MODEL…]`: times models of true shapes with random weights, and says what bounds the times. */
export async function benchCommand(
  terminal: Terminal,
  models: readonly string[],
  options: BenchOptions,
): Promise<number> {
  const loadBefore = currentLoad();
  if (options.group !== undefined && options.quantize.every((name) => name === "none")) {
    throw new UsageError(usageDiagnostics.optionsConflict({ reason: "--group is for --quantize int8 or int4" }));
  }
  const repeats = options.copies?.some((copies) => copies > 1) === true;
  if (options.variant === "vanilla" && repeats) {
    throw new UsageError(usageDiagnostics.optionsConflict({ reason: "--variant vanilla has one copy of every token" }));
  }
  const names = models.length === 0 ? usualModels : models;
  const files = await readFiles(terminal, names, options);
  // What takes minutes to measure is not to be lost at the end.
  for (const path of [options.output, options.html]) if (path !== undefined) await assertWritable(path);
  const points = names.flatMap((model) => pointsOf(sweepOf(model, files.get(model), options)));
  const { repeat, steps, kernels, seed } = options;
  const report = await runSweep({
    points,
    effort: { repeat, steps, kernels, leastMs, mostMs, seed },
    sourceOf: (point) => sourceOf(point, files, options),
    openDevice: openSweepDevice,
    clocks: nodeClocks(),
    watch: (point, what) => showProgress(terminal, `${describePoint(point)}: ${what} …`),
    onSkipped: (point) => {
      showProgress(terminal, "");
      terminal.err(`Skipped ${describePoint(point)}: ${point.reason}\n`);
    },
    machine: () => describeMachine(loadBefore),
    ...commitOf(),
  });
  showProgress(terminal, "");
  const text = `${JSON.stringify(report, null, 2)}\n`;
  terminal.out(options.json ? text : renderReport(report));
  if (options.output !== undefined) await writeFileAtomic(options.output, text);
  if (options.html !== undefined) {
    const { renderHtml } = await import("../../bench/html/render-html.js");
    await writeFileAtomic(options.html, renderHtml(report));
  }
  return report.points.length > 0 ? exitCodes.ok : exitCodes.wrongInput;
}

function commitOf(): { readonly commit?: string } {
  const commit = currentCommit();
  return commit === undefined ? {} : { commit };
}

/** A model that is a file. */
interface ModelFile {
  readonly source: SourceFile;
  /** K as it states it. */
  readonly copies: number;
}

/** Reads the models that are files; the others must be names that the benchmark knows. */
async function readFiles(
  terminal: Terminal,
  names: readonly string[],
  { set }: BenchOptions,
): Promise<ReadonlyMap<string, ModelFile>> {
  const files = new Map<string, ModelFile>();
  for (const name of names) {
    if (shapeNames.includes(name)) continue;
    if (name !== "-" && !name.endsWith(".phd")) {
      const expected = `a .phd file or one of ${shapeNames.join(", ")}`;
      throw new UsageError(usageDiagnostics.badValue({ option: "MODEL", value: name, expected }));
    }
    const source = await readSource(terminal, name);
    const { manifest } = programOf(terminal, compileSource(source, { target: "webgpu", dtype: "f32", set }), true);
    files.set(name, { source, copies: manifest.model.copies });
  }
  return files;
}

/** A file keeps its own relation, and the K, W and C that it states unless others are given. */
function sweepOf(model: string, file: ModelFile | undefined, options: BenchOptions): Sweep {
  const { device, dtype, prompt, batch, quantize, group = usualGroup } = options;
  const sizes = { models: [model], prompt, batch, dtype, quantise: quantize, group, device };
  return file === undefined
    ? {
        ...sizes,
        variant: options.variant,
        copies: options.copies ?? (options.variant === "vanilla" ? [1] : usualCopies),
        window: options.window ?? usualWindow,
        chunk: options.chunk ?? usualChunk,
      }
    : {
        ...sizes,
        variant: "own",
        copies: options.copies ?? [file.copies],
        window: options.window ?? [undefined],
        chunk: options.chunk ?? [undefined],
      };
}

function sourceOf(point: Point, files: ReadonlyMap<string, ModelFile>, options: BenchOptions): PointSource {
  const { model, variant, copies, window, chunk } = point;
  const file = files.get(model);
  if (file !== undefined) {
    const given = [
      ["K", options.copies === undefined ? undefined : copies],
      ["W", window],
      ["C", chunk],
    ] as const;
    const set: Record<string, string | number> = { ...options.set };
    for (const [name, value] of given) if (value !== undefined) set[name] = value;
    return { source: file.source, set };
  }
  const made = shapeSource(model, { variant: variant as Variant, copies, window: window ?? 0, chunk: chunk ?? 1 });
  if ("wrong" in made) throw new DiagnosticError(made.wrong);
  return { source: made.source, set: options.set };
}

/** A line for people who watch, in the place of the one before it. */
function showProgress(terminal: Terminal, line: string): void {
  if (terminal.interactive) terminal.err(`\r\u001b[K${line}`);
}

function renderReport({ devices, points }: BenchReport): string {
  const lines = devices.map(
    ({ device, name, software, floor }) =>
      `${device}: ${name}${software ? ", which computes on the CPU" : ""}; copies ${formatBytes(floor.copyBytesPerSecond.median)}/s, ` +
      `computes ${formatLarge(floor.flopsPerSecond.median)}FLOP/s`,
  );
  if (points.length === 0) return `${[...lines, "Nothing was measured."].join("\n")}\n`;
  const columns = columnsOf(points);
  const rows = points.map((point) => columns.map(([, cell]) => cell(point)));
  return `${[...lines, "", formatTable([columns.map(([name]) => name), ...rows]), "", ...legendOf(points)].join("\n")}\n`;
}

type Column = readonly [name: string, cell: (point: PointReport) => string];

function columnsOf(points: readonly PointReport[]): readonly Column[] {
  // What stored integers save shows against floats; without any, there is nothing to show.
  const overFloats = (phase: "prefill" | "decode"): readonly Column[] =>
    points.some(({ quantise }) => quantise !== undefined)
      ? [["×floats", (point) => ratio(overPlain(points, point, phase))]]
      : [];
  return [
    ["model", ({ model }) => model],
    ["K", ({ copies }) => String(copies)],
    ["W", ({ window }) => String(window ?? "")],
    ["C", ({ chunk }) => String(chunk ?? "")],
    ["n", ({ prompt }) => String(prompt)],
    ["batch", ({ batch }) => String(batch)],
    ["dtype", describeDtype],
    ["device", ({ device }) => device],
    ["first token", ({ firstTokenMs }) => `${firstTokenMs.toFixed(0)} ms`],
    ["prefill", ({ prefill }) => formatMs(prefill.ms)],
    ["×K=1", (point) => ratio(overSingle(points, point, "prefill"))],
    ...overFloats("prefill"),
    ["decode", ({ decode }) => formatMs(decode.ms)],
    ["×K=1", (point) => ratio(overSingle(points, point, "decode"))],
    ...overFloats("decode"),
    ["×floor", ({ decode }) => decode.timesFloor.toFixed(1)],
    ["dispatches", ({ decode }) => String(decode.dispatches)],
    ["bytes", ({ decode }) => formatBytes(Math.round(totalBytes(decode.bytes)))],
    ["host", ({ host }) => `${host.msPerToken.median.toFixed(2)} ms`],
  ];
}

function legendOf(points: readonly PointReport[]): string[] {
  const alone = points.filter(({ measured, copies }) => measured === "alone" && copies > 1).length;
  return [
    "Times are medians in ms, with half their interquartile range behind ±. First token: from the loaded model, kernels of the prefill included.",
    "×K=1: over the same model with every token once. ×floor: the decode step over the least time its bytes and products take on this device.",
    "Dispatches, bytes and host (time of JavaScript): of a decode step.",
    ...(alone > 0
      ? [
          "Models that do not fit into memory together were measured one after the other: their ratios are of medians, not of rounds.",
        ]
      : []),
    ...(points.some(({ quantise }) => quantise !== undefined)
      ? [
          "Where weights are stored as integers, ×K=1 is over K = 1 with the same integers, and ×floats over K = 1 with floats.",
        ]
      : []),
  ];
}

function formatMs({ median, lowerQuartile, upperQuartile }: Summary): string {
  const digits = median < 10 ? 2 : median < 100 ? 1 : 0;
  return `${median.toFixed(digits)} ±${((upperQuartile - lowerQuartile) / 2).toFixed(digits)}`;
}

const ratio = (value: number | undefined) => (value === undefined ? "" : value.toFixed(2));
