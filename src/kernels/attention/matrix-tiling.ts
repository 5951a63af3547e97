/**
 * How attention on matrix units divides its work: a block of query rows against one tile of keys after the other.
 *
 * A subgroup has 16 query rows. Where the block has fewer row tiles than there are subgroups, several of them share a row tile and each
 * takes its part of the keys of a tile, with peaks, sums and results of its own, which are merged at the end.
 */
import { InternalError } from "../../diagnostics/diagnostic.js";
import { fragmentLanes, productShape } from "../../ir/kernel/fragments.js";
import { type AttentionOptions, type DecodeAttentionOptions, rowBlocks } from "./options.js";
import { ownHeadBytes } from "./own-heads.js";

export interface MatrixTiling {
  /** Tiles of 16 query rows. */
  readonly rowTiles: number;
  /** Subgroups that share a row tile. */
  readonly shares: number;
  /** Keys of a tile, and of one subgroup. */
  readonly keys: number;
  readonly keysEach: number;
  /** Steps of 16 components along a head; components behind its end are zeros. */
  readonly depth: number;
  /** Words of 16 bytes, 8 components, that hold a head, and how many of them lie between two keys: odd, against bank conflicts. */
  readonly words: number;
  readonly keyStride: number;
  /** Tiles in workgroup memory: one is computed on while the next is on its way. */
  readonly stages: 1 | 2;
  /** Words of workgroup memory for them. Behind the first tile, queries find room until the second is brought. */
  readonly tileWords: number;
}

/** Wider heads would not leave room in the registers for results and queries of 16 rows. */
const widestHead = 128;

const mostSubgroups = 4;
/** Bytes of workgroup memory for keys and values, and for those with what finishing heads needs, of 48 KiB. */
const tileBudget = 40 * 1024;
const memoryBudget = 46 * 1024;

/** Whether attention over such a cache runs on matrix units. */
export function takesMatrixUnits({
  capabilities,
  cache,
  width,
}: Pick<AttentionOptions, "capabilities" | "cache" | "width">): boolean {
  return capabilities.matrix && cache !== "f32" && width <= widestHead;
}

export function chooseMatrixTiling(options: DecodeAttentionOptions): MatrixTiling {
  const depth = Math.ceil(options.width / productShape.depth);
  const words = Math.ceil(options.width / 8);
  const keyStride = 2 * depth + 1;
  const rowTiles = Math.ceil(rowBlocks(options).blockRows / productShape.rows);
  for (const stages of [2, 1] as const) {
    for (const keys of [64, 32, 16]) {
      const shares = Math.max(1, Math.min(2 ** Math.floor(Math.log2(mostSubgroups / rowTiles)), keys / 16));
      const queryRows = options.fresh ? rowTiles * productShape.rows : 0;
      const tileWords = Math.max(2 * keys * stages, 2 * keys + queryRows) * keyStride;
      const own = ownHeadBytes(options, rowTiles * shares * fragmentLanes);
      if (tileWords * 16 > tileBudget || tileWords * 16 + own > memoryBudget) continue;
      return { rowTiles, shares, keys, keysEach: keys / shares, depth, words, keyStride, stages, tileWords };
    }
  }
  throw new InternalError(`attention over heads of ${options.width} does not fit workgroup memory`);
}

export const invocationsOf = ({ rowTiles, shares }: MatrixTiling): number => rowTiles * shares * fragmentLanes;
