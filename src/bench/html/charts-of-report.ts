/** Which charts a report has. */

import { totalBytes } from "../count-work.js";
import { arithmeticRate } from "../measure-floor.js";
import { overSingle, sameSize } from "../ratios.js";
import type { BenchReport, DeviceReport, KernelReport, PointReport } from "../report.js";
import { describeDtype, describePoint } from "../sweep.js";
import { type Chart, type ChartPoint, drawChart, type Series } from "./chart.js";

type Phase = "prefill" | "decode";

const names: Readonly<Record<Phase, string>> = { prefill: "prefill of the prompt", decode: "a decode step" };

/** Time over that of K = 1, with the paper's figures beside it. */
export function ratioChart(report: BenchReport, phase: Phase): string {
  const series = seriesOver(report.points, "copies", (point) => {
    const ratio = point.copies === 1 ? 1 : overSingle(report.points, point, phase);
    return ratio === undefined ? undefined : { x: point.copies, y: ratio, label: `×${ratio.toFixed(3)}` };
  }).filter(({ points }) => points.length > 1);
  if (series.length === 0) return "";
  const paper = report.paper
    .filter((figure) => figure.phase === phase)
    .map(({ copies, ratio, what }) => ({ x: copies, y: ratio, label: `${what}: ×${ratio}` }));
  return drawChart({
    title: `Time of ${names[phase]} against K, over that of K = 1`,
    x: { label: "K, copies of every token", logarithmic: true },
    y: { label: "time over K = 1", logarithmic: false, fromZero: true },
    series: [...series, { name: "the paper: 550M, A100, batch 1", points: paper, style: "marks" }],
  });
}

/** Milliseconds against K or n, with the least that the device allows. */
export function timeChart(report: BenchReport, phase: Phase, axis: "copies" | "prompt"): string {
  const measured = seriesOver(report.points, axis, (point) => timeOf(point, phase, axis));
  const wide = measured.filter(({ points }) => new Set(points.map(({ x }) => x)).size > 1);
  if (wide.length === 0) return "";
  const floors = seriesOver(report.points, axis, (point) => ({
    x: point[axis],
    y: point[phase].floorMs,
    label: "",
  })).filter(({ name }) => wide.some((series) => series.name === name));
  const bounds = floors.slice(0, 4).map(({ name, points }) => ({
    name: `floor: ${name}`,
    points,
    style: "bound" as const,
    like: wide.findIndex((series) => series.name === name),
  }));
  return drawChart({
    title: `Time of ${names[phase]} against ${axis === "copies" ? "K" : "n"}`,
    x: { label: axis === "copies" ? "K, copies of every token" : "n, positions of the prompt", logarithmic: true },
    y: { label: "milliseconds (median, quartiles)", logarithmic: true },
    series: [...wide, ...bounds],
  });
}

function timeOf(point: PointReport, phase: Phase, axis: "copies" | "prompt"): ChartPoint {
  const { median, lowerQuartile, upperQuartile } = point[phase].ms;
  const label = `${describePoint(point)}: ${median.toPrecision(4)} ms`;
  return { x: point[axis], y: median, low: lowerQuartile, high: upperQuartile, label };
}

/** Points that differ in one coordinate only are a series. One copy belongs to every series of its size. */
function seriesOver(
  points: readonly PointReport[],
  axis: "copies" | "prompt",
  place: (point: PointReport) => ChartPoint | undefined,
): Series[] {
  const key = (point: PointReport) => describeSeries(point, axis);
  const repeated = axis === "copies" ? points.filter(({ copies }) => copies > 1) : points;
  return [...new Set(repeated.map(key))].map((name) => {
    const own = repeated.filter((point) => key(point) === name);
    const [first] = own;
    const single = axis === "copies" ? points.filter((point) => point.copies === 1 && sameSize(point, first!)) : [];
    return { name, style: "line", points: [...single, ...own].flatMap((point) => place(point) ?? []) };
  });
}

function describeSeries(point: PointReport, axis: "copies" | "prompt"): string {
  const { model, copies, window, chunk, prompt, batch, device } = point;
  return [
    model,
    axis === "copies" ? `n = ${prompt}` : `K = ${copies}`,
    ...(window === undefined ? [] : [`W = ${window}`]),
    ...(chunk === undefined ? [] : [`C = ${chunk}`]),
    ...(batch === 1 ? [] : [`batch ${batch}`]),
    `${describeDtype(point)} on ${device}`,
  ].join(", ");
}

/** Each kernel's rate of arithmetic against its arithmetic per byte, below the two rates that the device was measured to have. */
export function rooflineChart(point: PointReport, { floor }: DeviceReport): string {
  const { kernels = [], dtype } = point;
  const bandwidth = floor.copyBytesPerSecond.median;
  const peak = arithmeticRate(floor, dtype);
  const placed = kernels.filter(({ flops, flopsPerSecond }) => flops > 0 && flopsPerSecond > 0);
  if (placed.length === 0) return "";
  const intensity = ({ flops, bytes }: KernelReport) => flops / totalBytes(bytes);
  const ridge = peak / bandwidth;
  const all = placed.map(intensity);
  const from = Math.min(ridge / 4, ...all) / 2;
  const to = Math.max(ridge * 4, ...all) * 2;
  const roof = [from, ridge, to].map((x) => ({ x, y: Math.min(peak, x * bandwidth), label: "" }));
  const marks = (phase: Phase): Series => ({
    name: `kernels of ${names[phase]}`,
    style: "marks",
    points: placed
      .filter((kernel) => kernel.phase === phase)
      .map((kernel) => ({
        x: intensity(kernel),
        y: kernel.flopsPerSecond,
        label: `${kernel.kernel}: ${kernel.us.median.toPrecision(3)} µs, ${(100 * kernel.ofFloor).toFixed(0)}% of the roof`,
      })),
  });
  const chart: Chart = {
    title: "Roofline: arithmetic per second against arithmetic per byte",
    x: { label: "FLOP per byte that has to move", logarithmic: true },
    y: { label: "FLOP per second", logarithmic: true },
    series: [
      { name: "measured: copy bandwidth, then arithmetic", style: "bound" as const, points: roof },
      marks("decode"),
      marks("prefill"),
    ].filter(({ points }) => points.length > 0),
  };
  return drawChart(chart);
}
