/**
 * How an attention workgroup divides its work: a block of query rows against one tile of keys after the other.
 *
 * Invocations wear two hats. As *scorers* each computes a small rectangle of scores, `rowVector` rows × `keysEach` keys. As
 * *gatherers* each owns one vector of the head for `gatherVectors × rowVector` rows and adds up weighted values. Both rectangles
 * exist to use what is loaded from workgroup memory more than once; the sizes are powers of two so that the threads divide evenly.
 */
import { InternalError } from "../../diagnostics/diagnostic.js";
import type { Capabilities } from "../../ir/kernel/capabilities.js";
import { headVector } from "./options.js";

export interface Tiling {
  readonly workgroupSize: number;
  /** Components of a head that are loaded at once, and how many such vectors make a head. */
  readonly headVector: 1 | 2 | 4;
  readonly headVectors: number;
  /** Rows are handled in vectors of this many, `rowVectors` of them; rows beyond the block are computed and thrown away. */
  readonly rowVector: 1 | 2 | 4;
  readonly rowVectors: number;
  /** Keys of a tile. */
  readonly keys: number;
  /** Keys of one scorer; a scorer's keys are `keyColumns` apart. */
  readonly keysEach: number;
  readonly keyColumns: number;
  /** Neighbouring lanes that share the dot products of one scorer; 1 without subgroups. */
  readonly lanes: number;
  /** Row vectors of one gatherer, and how many gatherers it takes to cover the rows. */
  readonly gatherVectors: number;
  readonly gatherRows: number;
  /** Gatherers that share the keys of a tile; their sums are added at the end. */
  readonly keyShares: number;
  /** Vectors between two keys of the tile: odd, so that scorers of neighbouring keys hit different memory banks. */
  readonly keyStride: number;
  /** Vectors of workgroup memory that hold the keys, then the values of a tile. */
  readonly tileVectors: number;
}

/** More workgroup memory than this would leave too few workgroups at a time on one processor. */
const memoryBudget = 16384;

/** Scorers with 4 rows × 4 keys keep 16 vectors of sums; more would spill out of the registers. */
const mostKeysEach = 4;

/** @param reserved bytes of workgroup memory that the kernel needs beside the tiles, for a workgroup of a size */
export function chooseTiling(
  blockRows: number,
  width: number,
  capabilities: Capabilities,
  reserved: (workgroupSize: number) => number = () => 0,
): Tiling {
  const { limits, subgroups } = capabilities;
  const vector = headVector(width);
  const headVectors = width / vector;
  // Few invocations with much work each: what they share in registers is not loaded twice.
  const workgroupSize = Math.min(headVectors > 128 ? 256 : 128, limits.maxWorkgroupSize);
  const rowVector = blockRows === 1 ? 1 : blockRows === 2 ? 2 : 4;

  const needed = Math.ceil(blockRows / rowVector);
  if (headVectors > workgroupSize) throw new InternalError(`a head of ${width} components is too wide for attention`);
  let gatherVectors = 1;
  while (Math.ceil(needed / gatherVectors) * headVectors > workgroupSize) gatherVectors *= 2;
  const gatherRows = Math.ceil(needed / gatherVectors);
  const rowVectors = gatherRows * gatherVectors;
  const gatherers = gatherRows * headVectors;

  for (let keys = 64; keys >= 1; keys /= 2) {
    let keysEach = 1;
    while (keysEach < mostKeysEach && (rowVectors * keys) / keysEach > workgroupSize) keysEach *= 2;
    const keyColumns = keys / keysEach;
    if (keyColumns < 1 || rowVectors * keyColumns > workgroupSize) continue;
    const keyShares = Math.min(keys, Math.floor(workgroupSize / gatherers));
    const keyStride = headVectors + (headVectors % 2 === 0 ? 1 : 0);
    const sums = (keyShares - 1) * gatherers * gatherVectors * rowVector;
    const tileVectors = Math.max(keys * (keyStride + headVectors), sums);
    const rows = rowVectors * rowVector;
    const bytes = 4 * (tileVectors * vector + rows * (keys + keyColumns + 2));
    if (bytes + reserved(workgroupSize) > Math.min(memoryBudget, limits.maxWorkgroupMemory)) continue;
    let lanes = 1;
    while (subgroups && lanes < subgroups.minSize && 2 * lanes * rowVectors * keyColumns <= workgroupSize) lanes *= 2;
    return {
      workgroupSize,
      headVector: vector,
      headVectors,
      rowVector,
      rowVectors,
      keys,
      keysEach,
      keyColumns,
      lanes: Math.min(lanes, largestPowerOfTwo(headVectors)),
      gatherVectors,
      gatherRows,
      keyShares,
      keyStride,
      tileVectors,
    };
  }
  throw new InternalError(`attention over ${blockRows} rows of width ${width} does not fit workgroup memory`);
}

function largestPowerOfTwo(limit: number): number {
  return 2 ** Math.floor(Math.log2(limit));
}
