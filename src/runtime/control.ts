/**
 * The control buffer of a phase: all integers that its kernels read (see `manifest.ts`).
 */
import type { RowTable, TileWords } from "./rows.js";

export const wordsPerRow = 4;
export const wordsPerTile = 4;
/** Words of a sequence before its key bases. */
const sequenceHead = 4;

/** Where the parts of a control buffer start, in words. The symbols of the same names have these values. */
export interface ControlLayout {
  readonly sequencesAt: number;
  readonly sequenceStride: number;
  readonly rowsAt: number;
  readonly tilesAt: number;
  /** Of the whole buffer. */
  readonly words: number;
}

export function layOutControl(batch: number, groups: number, rows: number, tiles: number): ControlLayout {
  // Rows and tiles are read as vectors of four words, so everything starts on a multiple of four.
  const sequenceStride = Math.ceil((sequenceHead + groups) / 4) * 4;
  const rowsAt = batch * sequenceStride;
  const tilesAt = rowsAt + rows * wordsPerRow;
  return { sequencesAt: 0, sequenceStride, rowsAt, tilesAt, words: tilesAt + tiles * wordsPerTile };
}

/** One sequence as the kernels of a phase see it. */
export interface SequenceWords {
  /** Positions known after the phase. */
  readonly length: number;
  /** Positions cached before it. */
  readonly start: number;
  /** Tokens sampled so far. */
  readonly steps: number;
  /** Per key group, the index of the key in slot 0. */
  readonly bases: readonly number[];
}

/** Where in a control buffer the last sampled id of a sequence stands, in bytes. */
export function sampledIdOffset(layout: ControlLayout, sequence: number): number {
  return (layout.sequencesAt + sequence * layout.sequenceStride + 2) * 4;
}

export function controlWords(
  layout: ControlLayout,
  sequences: readonly SequenceWords[],
  table: RowTable,
  tiles: TileWords,
): Int32Array<ArrayBuffer> {
  const words = new Int32Array(layout.tilesAt + tiles.length);
  for (const [index, { length, start, steps, bases }] of sequences.entries()) {
    words.set([length, start, 0, steps, ...bases], layout.sequencesAt + index * layout.sequenceStride);
  }
  words.set(table.words, layout.rowsAt);
  words.set(tiles, layout.tilesAt);
  return words;
}
