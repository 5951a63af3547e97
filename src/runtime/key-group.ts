/** Which tokens' keys are stored together. The groups of a model part its tokens. */

/** A run of copies, at all positions or at those of an interval. */
export interface KeyGroupMembers {
  readonly firstCopy: number;
  /** Inclusive. */
  readonly lastCopy: number;
  /** 0 when left out. */
  readonly firstPos?: number;
  /** Exclusive; without an end when left out. */
  readonly endPos?: number;
}

/** Keys of a group per position. */
export const copiesIn = ({ firstCopy, lastCopy }: KeyGroupMembers): number => lastCopy - firstCopy + 1;

export function holdsToken(group: KeyGroupMembers, pos: number, copy: number): boolean {
  const { firstCopy, lastCopy, firstPos = 0, endPos = Number.POSITIVE_INFINITY } = group;
  return firstCopy <= copy && copy <= lastCopy && firstPos <= pos && pos < endPos;
}

/** The place of a token's group among the groups. */
export const groupOf = (groups: readonly KeyGroupMembers[], pos: number, copy: number): number =>
  groups.findIndex((group) => holdsToken(group, pos, copy));

/** What keeps groups from parting the tokens of `copies` copies, the offending group named; undefined where they do. */
export function partitionFault(
  groups: readonly (KeyGroupMembers & { readonly name: string })[],
  copies: number,
): string | undefined {
  let next = 1;
  let before: KeyGroupMembers | undefined;
  for (const group of groups) {
    const { name, firstCopy, lastCopy, firstPos = 0, endPos } = group;
    if (firstCopy !== (before?.firstCopy ?? next) || lastCopy < firstCopy)
      return `${name} does not continue the copies`;
    const continues = before === undefined || lastCopy === before.lastCopy;
    if (!continues || firstPos !== (before?.endPos ?? 0)) return `${name} does not continue the positions`;
    if (endPos !== undefined && endPos <= firstPos) return `${name} has no positions`;
    before = endPos === undefined ? undefined : group;
    if (endPos === undefined) next = lastCopy + 1;
  }
  if (before !== undefined) return "the last group has no positions without an end";
  return next === copies + 1 ? undefined : `the groups do not hold the copies 1 to ${copies}`;
}
