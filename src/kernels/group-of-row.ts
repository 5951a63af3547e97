/**
 * Which key group a token's key belongs to, and its index there. All kernels that write or read keys ask here.
 *
 * Values keep the integer type that they come in (positions and copies are u32 in the row table, i32 beside bounds).
 */
import { allOf, type Value } from "../ir/kernel/builder.js";

/** What of a key group decides who belongs to it. */
export interface GroupMembers {
  readonly firstCopy: number;
  readonly lastCopy: number;
}

/** Where a token stands. */
export interface TokenPlace {
  readonly pos: Value;
  /** From 1. */
  readonly copy: Value;
}

export const copiesIn = ({ firstCopy, lastCopy }: GroupMembers): number => lastCopy - firstCopy + 1;

/** Whether the key of a token is in the group; absent where every token's is. `copies` is K. */
export function belongsTo(
  { firstCopy, lastCopy }: GroupMembers,
  { copy }: TokenPlace,
  copies: number,
): Value | undefined {
  if (firstCopy === 1 && lastCopy === copies) return undefined;
  if (firstCopy === lastCopy) return copy.eq(firstCopy);
  return allOf(...(firstCopy > 1 ? [copy.ge(firstCopy)] : []), ...(lastCopy < copies ? [copy.le(lastCopy)] : []));
}

/** Index of a token's key in a group that it belongs to. */
export function keyIndex(group: GroupMembers, { pos, copy }: TokenPlace): Value {
  const copies = copiesIn(group);
  const before = copies === 1 ? pos : pos.mul(copies);
  return copies === 1 ? before : before.add(copy.sub(group.firstCopy));
}

/** How many keys of the group the first `positions` positions have; the index of the next one, too. */
export function keysOf(group: GroupMembers, positions: Value): Value {
  const copies = copiesIn(group);
  return copies === 1 ? positions : positions.mul(copies);
}
