/**
 * How attention on matrix units divides its work: a block of query rows against one tile of keys after the other.
 *
 * A subgroup has 16 query rows. Where the block has fewer row tiles than there are subgroups, several of them share a row tile and each
 * takes its part of the keys of a tile, with peaks, sums and results of its own, which are merged at the end.
 */
import { InternalError } from "../../diagnostics/diagnostic.js";
import type { HalfFormat } from "../../ir/kernel/expressions.js";
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
  /** Tiles in workgroup memory: one is computed on while the others are on their way. */
  readonly stages: number;
  /** Words of workgroup memory for them. In the place of the last, queries find room until it is brought. */
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

/** The format of the halves that matrix units take, which are those of the cache. */
export function cacheFormat({ cache }: Pick<AttentionOptions, "cache">): HalfFormat {
  if (cache === "f32") throw new InternalError("matrix units take caches of 16 bits");
  return cache;
}

/**
 * @param mostStages 2 where there is much to compute for every key; more where a workgroup is bound by how many bytes it has on their way
 */
export function chooseMatrixTiling(options: DecodeAttentionOptions, mostStages: 2 | 4): MatrixTiling {
  const depth = Math.ceil(options.width / productShape.depth);
  const words = Math.ceil(options.width / 8);
  const keyStride = 2 * depth + 1;
  const rowTiles = Math.ceil(rowBlocks(options).blockRows / productShape.rows);
  const queryRows = options.fresh ? rowTiles * productShape.rows : 0;
  const tilingOf = (keys: number, stages: number): MatrixTiling | undefined => {
    const shares = Math.max(1, Math.min(2 ** Math.floor(Math.log2(mostSubgroups / rowTiles)), keys / 16));
    const tileWords = Math.max(2 * keys * stages, 2 * keys * (stages - 1) + queryRows) * keyStride;
    const own = ownHeadBytes(options, rowTiles * shares * fragmentLanes);
    if (tileWords * 16 > tileBudget || tileWords * 16 + own > memoryBudget) return undefined;
    return { rowTiles, shares, keys, keysEach: keys / shares, depth, words, keyStride, stages, tileWords };
  };
  for (const least of [2, 1]) {
    for (const keys of [64, 32, 16]) {
      for (let stages = least === 2 ? mostStages : 1; stages >= least; stages--) {
        const tiling = tilingOf(keys, stages);
        if (tiling) return tiling;
      }
    }
  }
  throw new InternalError(`attention over heads of ${options.width} does not fit workgroup memory`);
}

export const invocationsOf = ({ rowTiles, shares }: MatrixTiling): number => rowTiles * shares * fragmentLanes;
