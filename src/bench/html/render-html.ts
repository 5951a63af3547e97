/** A report as one page that needs nothing else: charts, tables, and what they mean. */
import { totalBytes } from "../count-work.js";
import { overPlain, overSingle } from "../ratios.js";
import type { BenchReport, KernelReport, PointReport } from "../report.js";
import type { Summary } from "../statistics.js";
import { describeDtype, describePoint } from "../sweep.js";
import { formatAmount } from "./chart.js";
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
      "Times are medians in milliseconds, with half their interquartile range behind ±. First token: from the loaded model to the first id on the host, kernels of the prefill included. " +
        "×floor: over the least time that measured bandwidth and arithmetic allow.",
    ),
    ...turnNotes(report.points),
    timeTable(report.points),
    section("A decode step, counted"),
    workTable(report.points),
    ...(report.skipped.length === 0
      ? []
      : [
          section("Skipped"),
          table(
            ["point", "why"],
            report.skipped.map((point) => [describePoint(point), point.reason]),
          ),
        ]),
    ...kernelSection(report),
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
      `${name}; copies ${formatAmount(floor.copyBytesPerSecond.median)}B/s, computes ${formatAmount(floor.flopsPerSecond.median)}FLOP/s in f32, ` +
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
        return over === undefined
          ? []
          : [`×${over.toFixed(2)} (${point.model}, n = ${point.prompt}, ${describeDtype(point)} on ${point.device})`];
      });
    return [`${phase} at K = ${copies}`, what, `×${ratio}`, ours.length === 0 ? "not measured" : ours.join("; ")];
  });
  return table(["figure", "measured by the paper on", "paper, over vanilla", "here, over vanilla"], rows, 4);
}

/** Which ratios are those of rounds. */
function turnNotes(points: readonly PointReport[]): string[] {
  const repeated = points.filter(({ copies }) => copies > 1);
  const alone = repeated.filter(({ measured }) => measured === "alone").length;
  return [
    ...(repeated.length > alone
      ? [
          note(
            "×K=1 is the median over rounds, each of which measured every point of a model, size and device in turn.",
          ),
        ]
      : []),
    ...(alone > 0
      ? [
          note(
            `Measured by themselves, because the models do not fit into memory together: ${alone} of the points with K > 1. Their ratios are those of medians.`,
          ),
        ]
      : []),
  ];
}

type Column = readonly [name: string, cell: (point: PointReport) => string];

function tableOf(points: readonly PointReport[], columns: readonly Column[]): string {
  return table(
    ["point", ...columns.map(([name]) => name)],
    points.map((point) => [describePoint(point), ...columns.map(([, cell]) => cell(point))]),
  );
}

function timeTable(points: readonly PointReport[]): string {
  const ofPhase = (phase: "prefill" | "decode"): readonly Column[] => [
    [phase, (point) => spread(point[phase].ms)],
    ["×K=1", (point) => ratio(overSingle(points, point, phase))],
    ...(points.some(({ quantise }) => quantise !== undefined)
      ? [["×floats", (point: PointReport) => ratio(overPlain(points, point, phase))] as const]
      : []),
    ["×floor", (point) => point[phase].timesFloor.toFixed(1)],
  ];
  return tableOf(points, [
    ["compile", ({ compileMs }) => compileMs.median.toFixed(0)],
    ["load", ({ loadMs }) => loadMs.toFixed(0)],
    ["first token", ({ firstTokenMs }) => firstTokenMs.toFixed(0)],
    ...ofPhase("prefill"),
    ...ofPhase("decode"),
  ]);
}

function workTable(points: readonly PointReport[]): string {
  return tableOf(points, [
    ["dispatches", ({ decode }) => String(decode.dispatches)],
    ["per layer", ({ decode }) => String(Number(decode.dispatchesPerLayer.toFixed(2)))],
    ["rows", ({ decode }) => String(decode.rows)],
    ["weights", ({ decode }) => `${formatAmount(decode.bytes.weights)}B`],
    ["caches", ({ decode }) => `${formatAmount(decode.bytes.caches)}B`],
    ["activations", ({ decode }) => `${formatAmount(decode.bytes.activations)}B`],
    ["JavaScript", ({ host }) => `${spread(host.msPerToken)} ms`],
  ]);
}

function kernelSection(report: BenchReport): string[] {
  if (report.points.every(({ kernels }) => kernels === undefined)) return [];
  return [
    section("Kernels"),
    note(
      "Calls of one kernel, one after the other. The roof is what the device's copying and arithmetic kernels were measured to reach; " +
        "what fits into caches, or loads a part of what it could, may pass it.",
    ),
    ...report.points.map((point) => kernelsOf(point, report)),
  ];
}

function kernelsOf(point: PointReport, { devices }: BenchReport): string {
  const device = devices.find((each) => each.device === point.device);
  if (point.kernels === undefined || device === undefined) return "";
  return element(
    "details",
    {},
    element("summary", {}, escapeText(describePoint(point))),
    note(kernelsTogether(point, point.kernels)),
    element("div", { class: "charts" }, rooflineChart(point, device)),
    kernelTable(point.kernels),
  );
}

/** `decode: kernels 90.1 ms, a step 96.6 ms; …` */
function kernelsTogether(point: PointReport, kernels: readonly KernelReport[]): string {
  return (["prefill", "decode"] as const)
    .map((phase) => {
      const own = kernels.filter((kernel) => kernel.phase === phase);
      const sum = own.reduce((total, { totalMs }) => total + totalMs, 0);
      return `${phase}: kernels by themselves ${milliseconds(sum)} together, measured ${milliseconds(point[phase].ms.median)}`;
    })
    .join("; ");
}

function kernelTable(kernels: readonly KernelReport[]): string {
  const heading = ["kernel", "phase", "calls", "µs per call", "together", "bytes", "FLOP"].concat(
    "B/s",
    "FLOP/s",
    "of the roof",
    "copies",
  );
  return table(
    heading,
    kernels.map((each) => [
      each.kernel,
      each.phase,
      String(each.calls),
      spread(each.us),
      milliseconds(each.totalMs),
      formatAmount(totalBytes(each.bytes)),
      each.flops === 0 ? "" : formatAmount(each.flops),
      formatAmount(each.bytesPerSecond),
      each.flops === 0 ? "" : formatAmount(each.flopsPerSecond),
      `${(100 * each.ofFloor).toFixed(1)}%`,
      each.bytes.weights === 0 ? "" : String(each.weightCopies),
    ]),
    2,
  );
}

function spread({ median, lowerQuartile, upperQuartile }: Summary): string {
  const digits = median < 10 ? 2 : median < 100 ? 1 : 0;
  return `${median.toFixed(digits)} ±${((upperQuartile - lowerQuartile) / 2).toFixed(digits)}`;
}

const milliseconds = (ms: number) => `${ms < 100 ? ms.toPrecision(3) : ms.toFixed(0)} ms`;
const ratio = (value: number | undefined) => (value === undefined ? "" : value.toFixed(2));
