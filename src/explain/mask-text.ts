import { countTiles, type MaskPicture } from "./mask-picture.js";

/**
 * A mask for the terminal: a row per query, a column per key, `x` where the query sees the key. Lines outline the tiles; tiles that nobody
 * visits are blank. Above the columns, `*` marks keys that stay in the cache.
 */
export function printMask(picture: MaskPicture): string {
  const { tokens, visible, kept, cuts, tiles } = picture;
  const labels = tokens.map(({ pos, copy }) => `${pos}.${copy}`);
  const width = Math.max("copy".length, ...labels.map((label) => label.length));
  const empty = new Set(
    tiles.flatMap((tile) => (tile.density === "empty" ? [`${tile.firstQuery} ${tile.firstKey}`] : [])),
  );
  const spans = cuts.slice(1).map((end, index) => [cuts[index]!, end] as const);
  const line = (label: string, cell: (key: number) => string) =>
    `${label.padStart(width)} |${spans.map(([first, end]) => cellsOf(first, end, cell)).join("|")}|`;
  const rule = `${"".padStart(width)} +${spans.map(([first, end]) => "-".repeat(end - first)).join("+")}+`;

  const rows = spans.flatMap(([firstQuery, endQuery]) => [
    rule,
    ...tokens.slice(firstQuery, endQuery).map((_, index) => {
      const query = firstQuery + index;
      const unvisited = new Set(spans.flatMap(([first]) => (empty.has(`${firstQuery} ${first}`) ? [first] : [])));
      const tileOf = (key: number) => spans.find(([first, end]) => first <= key && key < end)![0];
      return line(labels[query]!, (key) => (visible[query]![key] ? "x" : unvisited.has(tileOf(key)) ? " " : "."));
    }),
  ]);
  return [
    `${picture.where}, ${picture.order} order: ${picture.relation}`,
    `${picture.keeping}; ${countTiles(picture)}`,
    line("copy", (key) => String(tokens[key]!.copy % 10)),
    line("kept", (key) => (kept[key] ? "*" : " ")),
    ...rows,
    rule,
  ].join("\n");
}

function cellsOf(first: number, end: number, cell: (key: number) => string): string {
  return Array.from({ length: end - first }, (_, index) => cell(first + index)).join("");
}
