/**
 * Which key group a token's key belongs to, and its index there. All kernels that write or read keys ask here.
 *
 * Values keep the integer type that they come in (positions and copies are u32 in the row table, i32 beside bounds).
 */
import { allOf, max, min, type Value } from "../ir/kernel/builder.js";
import { copiesIn, type KeyGroupMembers } from "../runtime/key-group.js";

export { copiesIn } from "../runtime/key-group.js";

/** What of a key group decides who belongs to it. */
export type GroupMembers = KeyGroupMembers;

/** Where a token stands. */
export interface TokenPlace {
  readonly pos: Value;
  /** From 1. */
  readonly copy: Value;
}

/** Whether the key of a token is in the group; absent where every token's is. `copies` is K. */
export function belongsTo(
  { firstCopy, lastCopy, firstPos = 0, endPos }: GroupMembers,
  { pos, copy }: TokenPlace,
  copies: number,
): Value | undefined {
  const conditions: Value[] = [];
  if (firstCopy === lastCopy && copies > 1) conditions.push(copy.eq(firstCopy));
  else {
    if (firstCopy > 1) conditions.push(copy.ge(firstCopy));
    if (lastCopy < copies) conditions.push(copy.le(lastCopy));
  }
  if (firstPos > 0) conditions.push(pos.ge(firstPos));
  if (endPos !== undefined) conditions.push(pos.lt(endPos));
  return conditions.length === 0 ? undefined : allOf(...conditions);
}

/** Index of a token's key in a group that it belongs to. */
export function keyIndex(group: GroupMembers, { pos, copy }: TokenPlace): Value {
  const copies = copiesIn(group);
  const before = copies === 1 ? pos : pos.mul(copies);
  return copies === 1 ? before : before.add(copy.sub(group.firstCopy));
}

/** One past the last index of the group's keys at the first `positions` positions; the index of the next one, too. */
export function keysOf(group: GroupMembers, positions: Value): Value {
  const { firstPos = 0, endPos } = group;
  const copies = copiesIn(group);
  const started = firstPos > 0 ? max(positions, firstPos) : positions;
  const inside = endPos === undefined ? started : min(started, endPos);
  return copies === 1 ? inside : inside.mul(copies);
}
