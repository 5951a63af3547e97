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
import { copiesIn } from "../../runtime/key-group.js";
import type { AttentionSystem } from "./attention-system.js";
import { copyCuts, positionCuts } from "./group-cuts.js";
import { inferRetention, type Retention, type RetentionLayout } from "./infer-retention.js";

/** The groups of a model part its tokens: the copies in order, and within them the positions. */
export type { KeyGroup };

/** Relations with more cuts than this, through copies or through positions, are not cut there. */
const mostCuts = 6;

/** Every group costs a cache, a loop in each attention and a binding of its kernels, of which devices have ten or a few more. */
const mostGroups = 6;

/** Work after which tokens stay together: a split only saves memory. */
const mostUnits = 100_000;

/**
 * `originals` (copy 1) and `hidden` (copies 2 … K), or `copies-a-b` for parts of the hidden copies that are kept differently; each in two,
 * `…-before-S` and `…-from-S`, where only the first S positions are kept for ever.
 */
export function groupTokens(system: AttentionSystem): KeyGroup[] {
  const cuts = { copies: fewOf(copyCuts(system)), positions: fewOf(positionCuts(system)) };
  const whole = wholeGroups(system);
  const attempts = [cuts, { ...cuts, positions: [] }].map(({ copies, positions }) => () => {
    if (copies.length === 0 && positions.length === 0) return whole;
    const parts = firstPositionsApart(system, copiesApart(system, copies), positions);
    return copies.length === 0 ? [...parts] : joinAlike(system, parts);
  });
  for (const make of attempts) {
    const groups = attempt(mostUnits, make);
    if (groups !== undefined && groups.length <= mostGroups) return groups;
  }
  return whole;
}

const fewOf = (cuts: readonly number[]) => (cuts.length <= mostCuts ? cuts : []);

/** Originals and hidden tokens. */
export function wholeGroups({ copies }: AttentionSystem): KeyGroup[] {
  const originals: KeyGroup = { name: "originals", firstCopy: 1, lastCopy: 1 };
  return copies === 1 ? [originals] : [originals, { name: "hidden", firstCopy: 2, lastCopy: copies }];
}

function copiesApart(system: AttentionSystem, cuts: readonly number[]): KeyGroup[] {
  const { copies } = system;
  if (cuts.length === 0) return wholeGroups(system);
  const [originals] = wholeGroups(system);
  const starts = [2, ...cuts];
  return [originals!, ...starts.map((firstCopy, i) => partOf(firstCopy, (starts[i + 1] ?? copies + 1) - 1))];
}

const partOf = (firstCopy: number, lastCopy: number) => ({
  name: `copies-${firstCopy}-${lastCopy}`,
  firstCopy,
  lastCopy,
});

/** Parts the groups that are kept for ever in some layer because of their first positions alone, as early as that is enough. */
function firstPositionsApart(
  system: AttentionSystem,
  groups: readonly KeyGroup[],
  cuts: readonly number[],
): readonly KeyGroup[] {
  if (cuts.length === 0) return groups;
  const isKept = (retention: readonly (readonly Retention[])[], layer: number, group: number) =>
    retention[layer]![group]!.layout.kind === "forever";
  const whole = inferRetention(system, groups);
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
}

/** Joins neighbouring hidden copies whose keys are kept alike in every layer, at the same positions. */
function joinAlike(system: AttentionSystem, parts: readonly KeyGroup[]): KeyGroup[] {
  const retention = inferRetention(system, parts);
  const runs: { readonly groups: KeyGroup[]; readonly lifetime: string }[] = [];
  for (let index = 0; index < parts.length; ) {
    const { firstCopy } = parts[index]!;
    const groups = parts.filter((part) => part.firstCopy === firstCopy);
    const lifetime = groups
      .map((group, i) => `${group.firstPos} ${group.endPos} ${lifetimeIn(retention, group, index + i)}`)
      .join(" | ");
    index += groups.length;
    const previous = runs.at(-1);
    // Originals stay by themselves: they are what every copy sees.
    if (previous === undefined || previous.lifetime !== lifetime || previous.groups[0]!.firstCopy === 1) {
      runs.push({ groups, lifetime });
    } else {
      const { lastCopy } = groups[0]!;
      runs[runs.length - 1] = { lifetime, groups: previous.groups.map((group) => renamed({ ...group, lastCopy })) };
    }
  }
  const isWhole = ({ firstCopy, lastCopy }: KeyGroup) => firstCopy === 2 && lastCopy === system.copies;
  return runs.flatMap(({ groups }) => groups.map((group) => (isWhole(group) ? renamed(group, "hidden") : group)));
}

function renamed({ firstCopy, lastCopy, firstPos, endPos }: KeyGroup, name = `copies-${firstCopy}-${lastCopy}`) {
  const [before, from] = partsAt({ name, firstCopy, lastCopy }, endPos ?? firstPos ?? 0);
  return endPos !== undefined ? before : firstPos !== undefined ? from : { name, firstCopy, lastCopy };
}

const partsAt = ({ name, firstCopy, lastCopy }: KeyGroup, cut: number): [KeyGroup, KeyGroup] => [
  { name: `${name}-before-${cut}`, firstCopy, lastCopy, endPos: cut },
  { name: `${name}-from-${cut}`, firstCopy, lastCopy, firstPos: cut },
];

/** How long the keys of a group live in each layer. */
function lifetimeIn(retention: readonly (readonly Retention[])[], group: KeyGroup, index: number): string {
  const copies = copiesIn(group);
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
