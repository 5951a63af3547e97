/** Charts as SVG: points, lines between them, their spread, a legend below. Colours are the page's, so they follow its theme. */
import { type Attributes, element, escapeText } from "./markup.js";
import { type Scale, scaleFor } from "./scale.js";

export interface ChartPoint {
  readonly x: number;
  readonly y: number;
  /** Quartiles of y. */
  readonly low?: number;
  readonly high?: number;
  /** Shown where the pointer rests. */
  readonly label: string;
}

export interface Series {
  readonly name: string;
  readonly points: readonly ChartPoint[];
  /** `line` joins the points; `bound` is a line without points; `marks` are points without a line. */
  readonly style: "line" | "bound" | "marks";
  /** Has the colour of this series, by its place, and not one of its own. */
  readonly like?: number;
}

export interface Chart {
  readonly title: string;
  readonly x: Axis;
  readonly y: Axis;
  readonly series: readonly Series[];
}

export interface Axis {
  /** With its unit. */
  readonly label: string;
  readonly logarithmic: boolean;
  readonly fromZero?: boolean;
}

const width = 640;
const height = 360;
const margin = { left: 74, right: 18, top: 14, bottom: 52 };
const legendLine = 18;
/** Colours that the page's style defines. */
const colours = 8;

export function drawChart({ title, x, y, series }: Chart): string {
  const points = series.flatMap((each) => each.points);
  if (points.length === 0) return "";
  const across = scaleFor(
    points.map((point) => point.x),
    margin.left,
    width - margin.right,
    x,
  );
  const up = scaleFor(
    points
      .flatMap((point) => [point.y, point.low ?? point.y, point.high ?? point.y])
      .filter((value) => !y.logarithmic || value > 0),
    height - margin.bottom,
    margin.top,
    y,
  );
  const total = height + series.length * legendLine + 8;
  const figure = element(
    "svg",
    { viewBox: `0 0 ${width} ${total}`, role: "img", "aria-label": title, class: "chart" },
    drawAxes(across, up, x, y),
    ...series.map((each, index) => drawSeries(each, each.like ?? index, across, up)),
    ...series.map((each, index) => drawLegend(each, each.like ?? index, index)),
  );
  return element("figure", {}, element("figcaption", {}, escapeText(title)), figure);
}

function drawAxes(across: Scale, up: Scale, x: Axis, y: Axis): string {
  const left = margin.left;
  const right = width - margin.right;
  const bottom = height - margin.bottom;
  const text = (content: string, attributes: Attributes) => element("text", attributes, escapeText(content));
  const lines = [
    ...up.ticks.map((tick) => {
      const at = up.at(tick);
      return (
        element("line", { class: "grid", x1: left, x2: right, y1: at, y2: at }) +
        text(formatTick(tick), { class: "tick", x: left - 8, y: at + 4, "text-anchor": "end" })
      );
    }),
    ...across.ticks.map((tick) => {
      const at = across.at(tick);
      return (
        element("line", { class: "grid", x1: at, x2: at, y1: margin.top, y2: bottom }) +
        text(formatTick(tick), { class: "tick", x: at, y: bottom + 18, "text-anchor": "middle" })
      );
    }),
  ];
  const middle = (margin.top + bottom) / 2;
  return [
    ...lines,
    element("path", { class: "axis", d: `M${left} ${margin.top}V${bottom}H${right}` }),
    text(x.label, { class: "label", x: (left + right) / 2, y: bottom + 40, "text-anchor": "middle" }),
    text(y.label, { class: "label", x: 16, y: middle, "text-anchor": "middle", transform: `rotate(-90 16 ${middle})` }),
  ].join("");
}

function drawSeries({ points, style }: Series, index: number, across: Scale, up: Scale): string {
  const colour = colourOf(index);
  const placed = [...points].sort((a, b) => a.x - b.x);
  const path = placed.map(({ x, y }) => `${across.at(x).toFixed(2)},${up.at(y).toFixed(2)}`).join(" ");
  const line = element("polyline", { class: `${colour} ${style === "bound" ? "bound" : "line"}`, points: path });
  if (style === "bound") return line;
  const marks = placed.map((point) => {
    const at = across.at(point.x);
    const spread =
      point.low === undefined || point.high === undefined
        ? ""
        : element("line", { class: `${colour} spread`, x1: at, x2: at, y1: up.at(point.low), y2: up.at(point.high) });
    return spread + drawMark(index, at, up.at(point.y), `${colour} mark`, point.label);
  });
  return (style === "line" ? line : "") + marks.join("");
}

const colourOf = (index: number) => `c${index % colours}`;

/** Series differ in shape as well as in colour. */
function drawMark(index: number, x: number, y: number, classes: string, label = ""): string {
  const title = label === "" ? [] : [element("title", {}, escapeText(label))];
  const polygon = (...corners: readonly (readonly [number, number])[]) =>
    element(
      "polygon",
      { class: classes, points: corners.map(([dx, dy]) => `${(x + dx).toFixed(2)},${(y + dy).toFixed(2)}`).join(" ") },
      ...title,
    );
  switch (index % 4) {
    case 0:
      return element("circle", { class: classes, cx: x, cy: y, r: 4 }, ...title);
    case 1:
      return polygon([-4, -4], [4, -4], [4, 4], [-4, 4]);
    case 2:
      return polygon([0, -5], [5, 4], [-5, 4]);
    default:
      return polygon([0, -5.5], [5.5, 0], [0, 5.5], [-5.5, 0]);
  }
}

/** `place`: the line of the legend, from 0. */
function drawLegend({ name, style }: Series, index: number, place: number): string {
  const y = height + place * legendLine + 4;
  const colour = colourOf(index);
  const line = element("line", { class: `${colour} ${style}`, x1: margin.left, x2: margin.left + 22, y1: y, y2: y });
  const mark = drawMark(index, margin.left + 11, y, `${colour} mark`);
  const sample = (style === "marks" ? "" : line) + (style === "bound" ? "" : mark);
  return sample + element("text", { class: "legend", x: margin.left + 30, y: y + 4 }, escapeText(name));
}

/** `0.25`, `1024`, `15k`, `20G`: a number on an axis. */
export function formatTick(value: number): string {
  return Number.isInteger(value) && value < 10_000 ? String(value) : formatAmount(value).replace(" ", "");
}

/** `0.25`, `16`, `1.5 k`, `20 G`: the prefix of a unit stands behind the number. */
export function formatAmount(value: number): string {
  const units = ["", "k", "M", "G", "T", "P"];
  let rest = value;
  let unit = 0;
  while (Math.abs(rest) >= 1000 && unit < units.length - 1) {
    rest /= 1000;
    unit++;
  }
  return `${Number(rest.toPrecision(3))} ${units[unit]}`;
}
