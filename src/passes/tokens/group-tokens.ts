/**
 * Which tokens' keys are kept and visited together.
 *
 * Copy 1 and the hidden copies live for different times in every variant of the paper, so they are two groups. A relation may treat
 * hidden copies differently, too (one is seen for ever, the others in their own step only). Then one layout for all of them would
 * keep the longest lifetime, so the hidden copies are cut where the relation compares `k.copy` with a constant, and parts that
 * turn out to be kept alike are joined again. The same goes for positions: where the first few are seen for ever and the others are
 * not, they are a group of their own.
 */
import type { KeyGroup } from "../../ir/graph/ops.js";
import { attempt } from "../../ir/relation/work.js";
import type { AttentionSystem } from "./attention-system.js";
import { copyCuts, positionCuts } from "./group-cuts.js";
import { inferRetention, type Retention, type RetentionLayout } from "./infer-retention.js";

/** The groups of a model part its tokens: the copies in order, and within them the positions. */
export type { KeyGroup };

/** Every group costs a cache and a loop in each attention; relations with more cuts than this keep one hidden group. */
const MOST_CUTS = 6;

/** Work after which tokens stay together: a split only saves memory. */
const UNITS = 400_000;

/**
 * `originals` (copy 1) and `hidden` (copies 2 … K), or `copies-a-b` for parts of the hidden copies that are kept differently; each in two,
 * `…-before-S` and `…-from-S`, where only the first S positions are kept for ever.
 */
export function groupTokens(system: AttentionSystem): KeyGroup[] {
  return firstPositionsApart(system, groupCopies(system));
}

function groupCopies(system: AttentionSystem): KeyGroup[] {
  const { copies } = system;
  const originals: KeyGroup = { name: "originals", firstCopy: 1, lastCopy: 1 };
  if (copies === 1) return [originals];
  const hidden: KeyGroup = { name: "hidden", firstCopy: 2, lastCopy: copies };
  const cuts = copyCuts(system);
  if (cuts.length === 0 || cuts.length > MOST_CUTS) return [originals, hidden];
  const starts = [2, ...cuts];
  const parts = starts.map((firstCopy, i) => partOf(firstCopy, (starts[i + 1] ?? copies + 1) - 1));
  const joined = attempt(UNITS, () => joinAlike(system, originals, parts)) ?? [hidden];
  return [originals, ...(joined.length === 1 ? [hidden] : joined)];
}

const partOf = (firstCopy: number, lastCopy: number): KeyGroup => ({
  name: `copies-${firstCopy}-${lastCopy}`,
  firstCopy,
  lastCopy,
});

/** Joins neighbours whose keys are kept alike in every layer. */
function joinAlike(system: AttentionSystem, originals: KeyGroup, parts: readonly KeyGroup[]): KeyGroup[] {
  const retention = inferRetention(system, [originals, ...parts]);
  const lifetimes = parts.map((part, i) => lifetimeIn(retention, part, i + 1));
  const joined: KeyGroup[] = [];
  parts.forEach((part, i) => {
    const previous = joined.at(-1);
    if (previous !== undefined && lifetimes[i] === lifetimes[i - 1]) {
      joined[joined.length - 1] = partOf(previous.firstCopy, part.lastCopy);
    } else joined.push(part);
  });
  return joined;
}

/** Parts the groups that are kept for ever in some layer because of their first positions alone, as early as that is enough. */
function firstPositionsApart(system: AttentionSystem, groups: readonly KeyGroup[]): KeyGroup[] {
  const cuts = positionCuts(system);
  if (cuts.length === 0 || cuts.length > MOST_CUTS) return [...groups];
  const apart = attempt(UNITS, () => {
    const whole = inferRetention(system, groups);
    const isKept = (retention: readonly (readonly Retention[])[], layer: number, group: number) =>
      retention[layer]![group]!.layout.kind === "forever";
    const rests = cuts.map((cut) => {
      const retention = inferRetention(
        system,
        groups.flatMap((group) => partsAt(group, cut)),
      );
      return retention.map((layer) => layer.filter((_, index) => index % 2 === 1));
    });
    const last = rests.at(-1)!;
    return groups.flatMap((group, index) => {
      const gains = whole.some((_, layer) => isKept(whole, layer, index) && !isKept(last, layer, index));
      if (!gains) return [group];
      const wanted = lifetimeIn(last, group, index);
      return partsAt(group, cuts.find((_, which) => lifetimeIn(rests[which]!, group, index) === wanted)!);
    });
  });
  return apart ?? [...groups];
}

const partsAt = ({ name, firstCopy, lastCopy }: KeyGroup, cut: number): [KeyGroup, KeyGroup] => [
  { name: `${name}-before-${cut}`, firstCopy, lastCopy, endPos: cut },
  { name: `${name}-from-${cut}`, firstCopy, lastCopy, firstPos: cut },
];

/** How long the keys of a group live in each layer. */
function lifetimeIn(retention: readonly (readonly Retention[])[], group: KeyGroup, index: number): string {
  const copies = group.lastCopy - group.firstCopy + 1;
  return retention.map((layer) => lifetimeOf(layer[index]!.layout, copies)).join(", ");
}

/** A layout without the size of its group: rings of as many positions are alike. */
function lifetimeOf(layout: RetentionLayout, copies: number): string {
  switch (layout.kind) {
    case "ring":
      return `ring ${Math.ceil(layout.slots / copies)}`;
    case "ring-in-chunk":
      return `ring ${Math.ceil(layout.slots / copies)} in ${layout.chunk}`;
    default:
      return layout.kind;
  }
}
