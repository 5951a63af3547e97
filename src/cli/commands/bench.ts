import { totalBytes } from "../../bench/count-work.js";
import { nodeClocks } from "../../bench/node/host-clocks.js";
import { currentCommit, currentLoad, describeMachine } from "../../bench/node/machine.js";
import { overSingle } from "../../bench/ratios.js";
import type { BenchReport, Point, PointReport, SkippedPoint } from "../../bench/report.js";
import { type PointSource, runSweep } from "../../bench/run-sweep.js";
import { shapeNames, shapeSource } from "../../bench/shapes.js";
import type { Summary } from "../../bench/statistics.js";
import { describePoint, pointsOf, type Sweep } from "../../bench/sweep.js";
import { compileSource } from "../../compile.js";
import { usageDiagnostics } from "../../diagnostics/catalogue-usage.js";
import { DiagnosticError } from "../../diagnostics/diagnostic.js";
import type { Variant } from "../../import/model-config.js";
import { writeFileAtomic } from "../../runtime/node/atomic-write.js";
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

/** Milliseconds that a measurement of one kernel takes at least. */
const leastMs = 20;

/** `phdc bench [MODEL…]`: times models of true shapes with random weights, and says what bounds the times. */
export async function benchCommand(
  terminal: Terminal,
  models: readonly string[],
  options: BenchOptions,
): Promise<number> {
  const loadBefore = currentLoad();
  const names = models.length === 0 ? usualModels : models;
  const files = await readFiles(terminal, names, options);
  const points = names.flatMap((model) => pointsOf(sweepOf(model, files.get(model), options)));
  const { repeat, steps, kernels, seed } = options;
  const report = await runSweep({
    points,
    effort: { repeat, steps, kernels, leastMs, seed },
    sourceOf: (point) => sourceOf(point, files, options),
    openDevice: openSweepDevice,
    clocks: nodeClocks(),
    onPoint: (point, outcome) => showProgress(terminal, point, outcome),
    machine: () => describeMachine(loadBefore),
    ...commitOf(),
  });
  const text = `${JSON.stringify(report, null, 2)}\n`;
  if (options.output !== undefined) await writeFileAtomic(options.output, text);
  if (options.html !== undefined) {
    const { renderHtml } = await import("../../bench/html/render-html.js");
    await writeFileAtomic(options.html, renderHtml(report));
  }
  terminal.out(options.json ? text : renderReport(report));
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
  const { device, dtype, prompt, batch } = options;
  const sizes = { models: [model], prompt, batch, dtype, device };
  return file === undefined
    ? {
        ...sizes,
        variant: options.variant,
        copies: options.copies ?? usualCopies,
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
  return { source: made.source };
}

/** What is being measured, for people who watch; what was skipped, for everybody. */
function showProgress(terminal: Terminal, point: Point, outcome?: PointReport | SkippedPoint): void {
  if (terminal.interactive) terminal.err(outcome === undefined ? `\r\u001b[K${describePoint(point)} …` : "\r\u001b[K");
  if (outcome !== undefined && "reason" in outcome) {
    terminal.err(`Skipped ${describePoint(point)}: ${outcome.reason}\n`);
  }
}

function renderReport({ devices, points }: BenchReport): string {
  const lines = devices.map(
    ({ device, name, software, floor }) =>
      `${device}: ${name}${software ? ", which computes on the CPU" : ""}; copies ${formatBytes(floor.copyBytesPerSecond.median)}/s, ` +
      `computes ${formatLarge(floor.flopsPerSecond.median)}FLOP/s`,
  );
  if (points.length === 0) return `${[...lines, "Nothing was measured."].join("\n")}\n`;
  const heading = ["model", "K", "W", "C", "n", "batch", "dtype", "device"]
    .concat("prefill", "×K=1", "decode", "×K=1", "×floor")
    .concat("dispatches", "bytes", "host");
  const rows = points.map((point) => [
    point.model,
    String(point.copies),
    String(point.window ?? ""),
    String(point.chunk ?? ""),
    String(point.prompt),
    String(point.batch),
    point.dtype,
    point.device,
    formatMs(point.prefill.ms),
    ratio(overSingle(points, point, "prefill")),
    formatMs(point.decode.ms),
    ratio(overSingle(points, point, "decode")),
    point.decode.timesFloor.toFixed(1),
    String(point.decode.dispatches),
    formatBytes(Math.round(totalBytes(point.decode.bytes))),
    `${point.host.msPerToken.median.toFixed(2)} ms`,
  ]);
  const legend =
    "Times are medians in ms, with half their interquartile range behind ±. Dispatches, bytes and host: of a decode step.";
  return `${[...lines, "", formatTable([heading, ...rows]), "", legend].join("\n")}\n`;
}

function formatMs({ median, lowerQuartile, upperQuartile }: Summary): string {
  const digits = median < 10 ? 2 : median < 100 ? 1 : 0;
  return `${median.toFixed(digits)} ±${((upperQuartile - lowerQuartile) / 2).toFixed(digits)}`;
}

const ratio = (value: number | undefined) => (value === undefined ? "" : value.toFixed(2));
