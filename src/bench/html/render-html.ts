/** A report as one page that needs nothing else: charts, tables, and what they mean. */
import { totalBytes } from "../count-work.js";
import { overSingle } from "../ratios.js";
import type { BenchReport, KernelReport, PointReport } from "../report.js";
import type { Summary } from "../statistics.js";
import { describePoint } from "../sweep.js";
import { formatTick } from "./chart.js";
import { ratioChart, rooflineChart, timeChart } from "./charts-of-report.js";
import { element, escapeText, table } from "./markup.js";
import { style } from "./style.js";

export function renderHtml(report: BenchReport): string {
  const charts = [
    ratioChart(report, "decode"),
    ratioChart(report, "prefill"),
    timeChart(report, "decode", "copies"),
    timeChart(report, "prefill", "copies"),
    timeChart(report, "decode", "prompt"),
    timeChart(report, "prefill", "prompt"),
  ].filter((chart) => chart !== "");
  const body = [
    element("h1", {}, "phdc bench"),
    aboutRun(report),
    ...(charts.length === 0 ? [] : [section("Time against K and n"), element("div", { class: "charts" }, ...charts)]),
    section("Beside the paper"),
    paperTable(report),
    section("All points"),
    note(
      "Times are medians in milliseconds, with half their interquartile range behind ±. Floor: the least time that measured bandwidth and arithmetic allow.",
    ),
    pointTable(report.points),
    ...(report.skipped.length === 0
      ? []
      : [
          section("Skipped"),
          table(
            ["point", "why"],
            report.skipped.map((point) => [describePoint(point), point.reason]),
          ),
        ]),
    section("Kernels"),
    ...report.points.map((point) => kernelsOf(point, report)),
  ];
  return `<!doctype html>\n${element(
    "html",
    { lang: "en" },
    element(
      "head",
      {},
      element("meta", { charset: "utf-8" }),
      element("meta", { name: "viewport", content: "width=device-width, initial-scale=1" }),
      element("title", {}, "phdc bench"),
      element("style", {}, style),
    ),
    element("body", {}, ...body),
  )}\n`;
}

const section = (title: string) => element("h2", {}, escapeText(title));
const note = (text: string) => element("p", { class: "note" }, escapeText(text));

function aboutRun({ phdc, date, commit, machine, devices }: BenchReport): string {
  const facts: (readonly [string, string])[] = [
    ["run", `${date}, ${phdc}${commit === undefined ? "" : `, commit ${commit}`}`],
    [
      "machine",
      `${machine.processor}, ${machine.processors} processors, ${machine.platform}, ${machine.javascript}; load ${machine.load[0]} when it began, ${machine.load[1]} when it ended`,
    ],
    ...devices.map(({ device, name, software, floor }): readonly [string, string] => [
      device,
      `${name}; copies ${formatTick(floor.copyBytesPerSecond.median)}B/s, computes ${formatTick(floor.flopsPerSecond.median)}FLOP/s in f32, ` +
        `an empty submission takes ${floor.submitMs.median.toFixed(2)} ms` +
        (software ? ". It computes on the CPU: these times say nothing about a GPU; ratios of work do." : ""),
    ]),
  ];
  return element(
    "dl",
    {},
    ...facts.map(([name, text]) => element("dt", {}, escapeText(name)) + element("dd", {}, escapeText(text))),
  );
}

function paperTable({ paper, points }: BenchReport): string {
  const rows = paper.map(({ phase, what, copies, ratio }) => {
    const ours = points
      .filter((point) => point.copies === copies)
      .flatMap((point) => {
        const over = overSingle(points, point, phase);
        return over === undefined ? [] : [`×${over.toFixed(2)} (${point.model}, n = ${point.prompt}, ${point.device})`];
      });
    return [`${phase} at K = ${copies}`, what, `×${ratio}`, ours.length === 0 ? "not measured" : ours.join("; ")];
  });
  return table(["figure", "measured by the paper on", "paper, over vanilla", "here, over vanilla"], rows);
}

function pointTable(points: readonly PointReport[]): string {
  const heading = ["point", "compile", "load", "first token", "prefill", "×K=1", "×floor"]
    .concat("decode", "×K=1", "×floor", "dispatches", "per layer", "rows")
    .concat("weights", "caches", "activations", "JavaScript per token");
  const rows = points.map((point) => {
    const { prefill, decode, host } = point;
    return [
      describePoint(point),
      spread(point.compileMs),
      point.loadMs.toFixed(0),
      point.firstTokenMs.toFixed(0),
      spread(prefill.ms),
      ratio(overSingle(points, point, "prefill")),
      prefill.timesFloor.toFixed(1),
      spread(decode.ms),
      ratio(overSingle(points, point, "decode")),
      decode.timesFloor.toFixed(1),
      String(decode.dispatches),
      String(Number(decode.dispatchesPerLayer.toFixed(2))),
      String(decode.rows),
      `${formatTick(decode.bytes.weights)}B`,
      `${formatTick(decode.bytes.caches)}B`,
      `${formatTick(decode.bytes.activations)}B`,
      spread(host.msPerToken),
    ];
  });
  return table(heading, rows);
}

function kernelsOf(point: PointReport, { devices }: BenchReport): string {
  const device = devices.find((each) => each.device === point.device);
  if (point.kernels === undefined || device === undefined) return "";
  return element(
    "details",
    {},
    element("summary", {}, escapeText(describePoint(point))),
    element("div", { class: "charts" }, rooflineChart(point, device)),
    kernelTable(point.kernels),
  );
}

function kernelTable(kernels: readonly KernelReport[]): string {
  const heading = ["kernel", "phase", "calls", "µs per call", "ms together", "bytes", "FLOP"].concat(
    "B/s",
    "FLOP/s",
    "of the roof",
    "weight copies",
  );
  return table(
    heading,
    kernels.map((each) => [
      each.kernel,
      each.phase,
      String(each.calls),
      spread(each.us),
      each.totalMs.toPrecision(3),
      formatTick(totalBytes(each.bytes)),
      formatTick(each.flops),
      formatTick(each.bytesPerSecond),
      formatTick(each.flopsPerSecond),
      `${(100 * each.ofFloor).toFixed(1)}%`,
      String(each.weightCopies),
    ]),
  );
}

function spread({ median, lowerQuartile, upperQuartile }: Summary): string {
  const digits = median < 10 ? 2 : median < 100 ? 1 : 0;
  return `${median.toFixed(digits)} ±${((upperQuartile - lowerQuartile) / 2).toFixed(digits)}`;
}

const ratio = (value: number | undefined) => (value === undefined ? "" : value.toFixed(2));
