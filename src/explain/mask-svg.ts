/**
 * Masks as a picture for pages and papers. Colours are readable on white and told apart without colour vision.
 */
import { countTiles, type MaskPicture } from "./mask-picture.js";

/** Pixels of a cell, and of the space around and above a mask. */
const cell = 8;
const margin = 24;
const heading = 62;

const colors = {
  original: "#1f4e79",
  hidden: "#d9822b",
  tile: "#8a8a8a",
  full: "#eef2f7",
  kept: "#2e7d32",
  text: "#222222",
} as const;

/** One drawing: relations below each other, stream order on the left and grouped order on the right. */
export function drawMasks(model: string, pictures: readonly MaskPicture[]): string {
  const side = Math.max(...pictures.map(({ tokens }) => tokens.length)) * cell;
  const width = margin + 2 * (side + margin);
  const height = 2 * margin + (pictures.length / 2) * (side + heading + margin);
  const drawings = pictures.map((picture, index) => {
    const x = margin + (index % 2) * (side + margin);
    const y = 2 * margin + Math.floor(index / 2) * (side + heading + margin) + heading;
    return `<g transform="translate(${x} ${y})">\n${drawMask(picture)}\n</g>`;
  });
  const legend = [
    `${model}: who sees whom. Queries from top to bottom, keys from left to right.`,
    "Blue: originals. Orange: hidden tokens. Green: keys that stay in the cache. Outlined: tiles that are visited; shaded: seen as a whole.",
  ].map((line, index) => text(margin, 18 + 16 * index, line));
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="11" fill="${colors.text}">`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    ...legend,
    ...drawings,
    "</svg>",
    "",
  ].join("\n");
}

function drawMask(picture: MaskPicture): string {
  const { tokens, visible, kept, tiles, where, order, relation, keeping } = picture;
  const side = tokens.length * cell;
  const visited = tiles.filter(({ density }) => density !== "empty");
  const tileRects = visited.map(({ firstQuery, endQuery, firstKey, endKey, density }) =>
    rect(firstKey, firstQuery, endKey - firstKey, endQuery - firstQuery, density === "full" ? colors.full : "none"),
  );
  const outlines = visited.map(({ firstQuery, endQuery, firstKey, endKey }) =>
    rect(firstKey, firstQuery, endKey - firstKey, endQuery - firstQuery, "none", colors.tile),
  );
  const cells = visible.flatMap((row, query) =>
    runsOf(tokens.map(({ copy }, key) => (row[key] ? (copy === 1 ? colors.original : colors.hidden) : undefined))).map(
      ({ first, end, color }) =>
        `<rect x="${first * cell + 1}" y="${query * cell + 1}" width="${(end - first) * cell - 2}" height="${cell - 2}" fill="${color}"/>`,
    ),
  );
  const marks = runsOf(kept.map((flag) => (flag ? colors.kept : undefined))).map(
    ({ first, end, color }) =>
      `<rect x="${first * cell}" y="-7" width="${(end - first) * cell}" height="5" fill="${color}"/>`,
  );
  return [
    `<title>${escapeText(`${relation}; ${keeping}`)}</title>`,
    text(0, -28, `${where}, ${order} order: ${countTiles(picture)}`),
    text(0, -14, shorten(relation, Math.max(40, Math.floor(side / 6)))),
    ...tileRects,
    ...cells,
    ...outlines,
    ...marks,
    `<rect width="${side}" height="${side}" fill="none" stroke="${colors.text}"/>`,
  ].join("\n");
}

interface Run {
  readonly first: number;
  readonly end: number;
  readonly color: string;
}

/** Neighbours of one colour. */
function runsOf(row: readonly (string | undefined)[]): Run[] {
  const runs: Run[] = [];
  let first = 0;
  for (let end = 1; end <= row.length; end++) {
    if (end < row.length && row[end] === row[first]) continue;
    const color = row[first];
    if (color !== undefined) runs.push({ first, end, color });
    first = end;
  }
  return runs;
}

function rect(x: number, y: number, width: number, height: number, fill: string, stroke?: string): string {
  const line = stroke === undefined ? "" : ` stroke="${stroke}"`;
  return `<rect x="${x * cell}" y="${y * cell}" width="${width * cell}" height="${height * cell}" fill="${fill}"${line}/>`;
}

const text = (x: number, y: number, content: string) => `<text x="${x}" y="${y}">${escapeText(content)}</text>`;

const shorten = (content: string, length: number) =>
  content.length > length ? `${content.slice(0, length - 1)}…` : content;

const escapeText = (content: string) =>
  content.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
