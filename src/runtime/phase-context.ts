/**
 * What the formulas of a phase are evaluated in: its row table, its query tiles, how far its sequences are.
 */
import type { Manifest } from "./manifest.js";
import type { PackedWeight } from "./packing.js";
import type { PhaseContext } from "./program.js";
import { decodeTable, decodeTiles, prefillTiles, type RowRange, type RowTable, type TileWords } from "./rows.js";
import { rowModel, type SessionShape } from "./shape.js";

/** The parts of a model that steps refer to. */
export interface ModelParts {
  readonly manifest: Manifest;
  readonly weights: readonly PackedWeight[];
}

export interface PhaseTiles {
  readonly words: TileWords;
  /** The run of a row range among all tiles. */
  readonly of: (range: RowRange) => RowRange;
}

/** Tiles of every distinct row range of a table, one run after the other. */
function tilesOf(manifest: Manifest, table: RowTable, cut: (range: RowRange) => TileWords): PhaseTiles {
  const words: TileWords = [];
  const runs = new Map<number, RowRange>();
  const layers = Array.from({ length: manifest.model.layers }, (_, layer) => layer);
  // All ranges end at the end of the table, so the first row tells them apart.
  for (const range of [...layers.flatMap((layer) => [table.input(layer), table.query(layer)]), table.output]) {
    if (runs.has(range.base)) continue;
    const tiles = cut(range);
    runs.set(range.base, { base: words.length / 4, count: tiles.length / 4 });
    for (const word of tiles) words.push(word);
  }
  return { words, of: (range) => runs.get(range.base)! };
}

export function tilesOfPrefill(manifest: Manifest, table: RowTable): PhaseTiles {
  const model = rowModel(manifest);
  return tilesOf(manifest, table, (range) => prefillTiles(model, table, range, manifest.rows.tileRows.prefill));
}

export function tilesOfDecode(manifest: Manifest, table: RowTable, batch: number): PhaseTiles {
  return tilesOf(manifest, table, (range) => decodeTiles(batch, range, manifest.rows.tileRows.decode));
}

/** `n` and `start` are the greatest of all sequences. */
export function prefillContext(
  { manifest, weights }: ModelParts,
  shape: SessionShape,
  table: RowTable,
  tiles: PhaseTiles,
  n: number,
  start: number,
): PhaseContext {
  return { manifest, shape, phase: "prefill", table, n, start, tilesOf: tiles.of, partsOf: partsIn(weights) };
}

/** The same for every step: formulas of decode depend on how many rows there are, never on which. */
export function decodeContext({ manifest, weights }: ModelParts, shape: SessionShape): PhaseContext {
  const { batch, context } = shape;
  const anywhere = Array.from({ length: batch }, () => ({ pos: 0, id: 0 }));
  const table = decodeTable(rowModel(manifest), anywhere);
  const tiles = tilesOfDecode(manifest, table, batch);
  const at = { n: context, start: context };
  return { manifest, shape, phase: "decode", table, ...at, tilesOf: tiles.of, partsOf: partsIn(weights) };
}

function partsIn(weights: readonly PackedWeight[]): PhaseContext["partsOf"] {
  return (name) => weights.find(({ info }) => info.name === name)!.parts;
}
