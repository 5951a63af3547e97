/**
 * How kernels read the control buffer (see `runtime/manifest.ts`): where the rows of a phase stand, and which rows a step runs on.
 *
 * Parameters carry the names of the manifest's symbols, so the schedule fills them in without being told.
 */
import type { KernelBuilder, Memory, Value } from "../ir/kernel/builder.js";

/** Words per row: sequence, pos, copy, token id. */
const rowWords = 4;
/** Words of a sequence that stand before its key bases: length, start, last token, steps. */
const sequenceWords = 4;

/** The rows [base, base + count) of the table that a step runs on. */
export interface RowRange {
  readonly base: Value;
  readonly count: Value;
}

export function rowRange(k: KernelBuilder): RowRange {
  return { base: k.param("row_base"), count: k.param("row_count") };
}

export interface Row {
  readonly sequence: Value;
  readonly pos: Value;
  /** From 1. */
  readonly copy: Value;
  readonly id: Value;
}

export interface RowTable {
  /** Row `row` of the table; every field is a load. */
  at(row: Value): Row;
}

/** Rows in `control`, which the kernel has bound as i32. */
export function rowTable(k: KernelBuilder, control: Memory): RowTable {
  const rowsAt = k.param("rows_at");
  return {
    at(row) {
      const word = (index: number) => control.at(rowsAt.add(row.mul(rowWords)).add(index)).toU32();
      return { sequence: word(0), pos: word(1), copy: word(2), id: word(3) };
    },
  };
}

/** Finds the slot of a key in what a phase reads and writes keys of a group in. */
export interface KeySlots {
  /** Element of the first component: keys (`half` 0) or values (`half` 1) of key `index` of a sequence. */
  at(half: 0 | 1, group: number, sequence: Value, index: Value): Value;
}

/** Slots of the groups listed; declares `batch` and `slots_g` for each. */
export function keySlots(k: KernelBuilder, control: Memory, groups: readonly number[], kvWidth: number): KeySlots {
  const sequencesAt = k.param("sequences_at");
  const stride = k.param("sequence_stride");
  const batch = k.param("batch");
  const slots = new Map(groups.map((group) => [group, k.param(`slots_${group}`)]));
  return {
    at(half, group, sequence, index) {
      const base = control.at(sequencesAt.add(sequence.mul(stride)).add(sequenceWords + group)).toU32();
      const modulus = slots.get(group)!;
      const row = half === 0 ? sequence : sequence.add(batch);
      return row.mul(modulus).add(index.sub(base).rem(modulus)).mul(kvWidth);
    },
  };
}

/**
 * The place of this workgroup among all of a dispatch, when `flatWorkgroups` of the schedule spread them over x and y because one axis
 * holds only 65535.
 */
export function flatWorkgroup(k: KernelBuilder): Value {
  return k.workgroupId.y.mul(k.numWorkgroups.x).add(k.workgroupId.x);
}
