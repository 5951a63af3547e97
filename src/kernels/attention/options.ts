/**
 * What the attention kernels are built from, and what they are bound to.
 *
 * Bindings and parameters carry the names below; parameters are the manifest's symbols of the same name.
 *
 *   prefill_attention  query, keys_0, keys_1 …, attended, control
 *   decode_attention   query, keys_0, keys_1 …, partial_values, partial_stats, control; when it finishes heads itself, in place of
 *                      query: source_0 …, norm_weights, pos_angles, copy_angles; and the parameter row_base
 *     parameters       tile_base, rows_at, tiles_at, sequences_at, sequence_stride, batch, slots_0, slots_1 …, decode also splits
 *   merge_partials     partial_values, partial_stats, attended; parameters row_base, row_count, splits
 *   move_keys          from, to, control; parameters sequences_at, sequence_stride, batch, keep, ring_slots, scratch_slots
 *
 * The number behind `keys_` and `slots_` is the group's place in the graph's `groups`; a group whose part is empty is not bound.
 */

import { ceilDiv, type Expr, mul } from "../../ir/expr.js";
import type { AttendPart, KeyGroup } from "../../ir/graph/ops.js";
import type { Capabilities } from "../../ir/kernel/capabilities.js";
import type { FloatType } from "../../ir/kernel/types.js";
import type { Predicate } from "../../ir/relation/predicate.js";
import type { HeadColumns } from "../elementwise/head-columns.js";

export interface AttentionShape {
  /** Query heads of a row. */
  readonly heads: number;
  /** Key and value heads; divides `heads`. */
  readonly kvHeads: number;
  /** Components of a head. */
  readonly width: number;
}

export interface AttentionOptions extends AttentionShape {
  /** Scores are multiplied by this before the softmax. */
  readonly scale: number;
  /** Element type of the keys and values; queries and results are f32. */
  readonly cache: FloatType;
  /** The graph's key groups, and one part of the relation for each. */
  readonly groups: readonly KeyGroup[];
  readonly parts: readonly AttendPart[];
  readonly predicate: Predicate;
  /** Most rows of a query tile that the kernel is given (`rows.tileRows` of the phase, or fewer where fewer copies have a query). */
  readonly tileRows: number;
  readonly capabilities: Capabilities;
}

/**
 * Where decode attention finds the step's own queries, keys and values when it finishes them for itself: in the buffers that the
 * products wrote, bound as `source_0`, `source_1`, …
 */
export interface FreshHeads {
  /** Columns of each source buffer. */
  readonly sources: readonly number[];
  readonly query: HeadColumns;
  readonly key: HeadColumns;
  readonly value: Pick<HeadColumns, "source" | "offset">;
  /** Whether angles also depend on the copy. */
  readonly copyAngles: boolean;
  /** Copies in the order of the decode table. */
  readonly order: readonly number[];
  /** How many of `order`, from the end, enter the layer. */
  readonly entering: number;
  /** Groups whose keys outlive the step, by their place in `groups`; of the others only the step's own keys exist. */
  readonly kept: readonly number[];
}

export interface DecodeAttentionOptions extends AttentionOptions {
  /** Absent where queries and keys were finished, and keys stored, by a step before. */
  readonly fresh?: FreshHeads;
}

/** Query rows (row of the tile × query head) that one workgroup takes at most; above that, a tile is cut into blocks. */
const maxBlockRows = 64;

/** How the query rows of a tile and one key head are shared among workgroups. */
export function rowBlocks({ heads, kvHeads, tileRows }: Pick<AttentionOptions, "heads" | "kvHeads" | "tileRows">) {
  const rows = tileRows * (heads / kvHeads);
  const blocks = Math.ceil(rows / maxBlockRows);
  return { rows, blocks, blockRows: Math.ceil(rows / blocks) };
}

/** Rows of a query tile that make good blocks: as many as fill one block together with the query heads of a key head. */
export function preferredTileRows({ heads, kvHeads }: AttentionShape): number {
  return Math.max(1, Math.floor(maxBlockRows / (heads / kvHeads)));
}

/** One workgroup for each query tile, and key head and block of rows. */
export function prefillAttentionWorkgroups(options: AttentionOptions): readonly [Expr, Expr, Expr] {
  return ["tile_count", options.kvHeads * rowBlocks(options).blocks, 1];
}

/** As prefill, and for each split of the keys. */
export function decodeAttentionWorkgroups(options: AttentionOptions): readonly [Expr, Expr, Expr] {
  return ["tile_count", options.kvHeads * rowBlocks(options).blocks, "splits"];
}

/**
 * What one decode step leaves behind for the merge: partial_values f32 [max_rows][heads][splits][width], unnormalised, and
 * partial_stats vec2<f32> [max_rows][heads][splits] = (peak, sum). The peak is a score in units of log 2: the weight of key k is
 * 2^(score − peak). A split without keys has peak −1e30, sum 0 and values 0.
 */
export interface MergeOptions extends AttentionShape {
  readonly capabilities: Capabilities;
}

/** x covers the vectors of a row, y the rows. */
export function mergePartialsWorkgroups({ heads, width }: AttentionShape): readonly [Expr, Expr, Expr] {
  return [Math.ceil((heads * width) / headVector(width) / mergedVectors), "row_count", 1];
}
/** Vectors of a row that a workgroup merges, and among how many invocations it divides the splits of each. */
export const mergedVectors = 32;
export const mergeShares = 8;

/** `in`: the ring's live keys go to the scratch before a prefill slice. `out`: the last keys go back to the ring after it. */
export interface MoveKeysOptions {
  readonly direction: "in" | "out";
  /** Place of the group in the graph's `groups`. */
  readonly group: number;
  /** Copies in the group. */
  readonly copies: number;
  /** kvHeads × width. */
  readonly kvWidth: number;
  readonly cache: FloatType;
  readonly capabilities: Capabilities;
}

/** One invocation moves one vector of a key or value; x covers the kept keys of a sequence, y the sequences, z keys and values. */
export function moveKeysWorkgroups(
  { kvWidth }: Pick<MoveKeysOptions, "kvWidth">,
  keep: Expr,
): readonly [Expr, Expr, Expr] {
  const vectors = kvWidth / headVector(kvWidth);
  return [ceilDiv(mul(keep, vectors), moveWorkgroupSize), "batch", 2];
}
export const moveWorkgroupSize = 64;

/** Elements of one load along a head: as many as divide it. */
export function headVector(width: number): 1 | 2 | 4 {
  return width % 4 === 0 ? 4 : width % 2 === 0 ? 2 : 1;
}

/** `decode_attention_16x4_64_f16`: query heads × key heads, width, rows of a tile, and the cache's type where it is not f32. */
export function kernelName(kind: string, { heads, kvHeads, width, tileRows, cache }: AttentionOptions): string {
  return [kind, `${heads}x${kvHeads}`, `w${width}`, `r${tileRows}`, cache !== "f32" && cache].filter(Boolean).join("_");
}

/** How many workgroups of attention there are along x and y, in words. */
export function describeBlocks(options: AttentionOptions): string {
  const { blocks } = rowBlocks(options);
  return `x: one workgroup per query tile; y: ${options.kvHeads} key heads${blocks > 1 ? ` × ${blocks} blocks of rows` : ""}`;
}

export function describeHeads({ heads, kvHeads, width }: AttentionShape): string {
  return `${heads} query heads, ${kvHeads} key heads, width ${width}`;
}
