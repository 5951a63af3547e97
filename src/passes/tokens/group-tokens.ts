/**
 * Which copies are kept and visited together.
 *
 * Copy 1 and the hidden copies live for different times in every variant of the paper, so they are two groups. A relation may treat
 * hidden copies differently, too (one is seen for ever, the others in their own step only). Then one layout for all of them would
 * keep the longest lifetime, so the hidden copies are cut where the relation compares `k.copy` with a constant, and parts that
 * turn out to be kept alike are joined again.
 */
import { setOfPredicate } from "../../ir/relation/from-predicate.js";
import { attempt } from "../../ir/relation/work.js";
import type { AttentionSystem } from "./attention-system.js";
import { inferRetention, type RetentionLayout } from "./infer-retention.js";

/** Copies that are kept and visited together: an interval of copies. The groups of a model partition 1 … K. */
export interface KeyGroup {
  readonly name: string;
  readonly firstCopy: number;
  /** Inclusive. */
  readonly lastCopy: number;
}

/** Every group costs a cache and a loop in each attention; relations with more cuts than this keep one hidden group. */
const MOST_CUTS = 6;

/** Work after which the hidden copies stay together: a split only saves memory. */
const UNITS = 400_000;

/** `originals` (copy 1) and `hidden` (copies 2 … K), or `copies-a-b` for parts of the hidden copies that are kept differently. */
export function groupTokens(system: AttentionSystem): KeyGroup[] {
  const { copies } = system;
  const originals: KeyGroup = { name: "originals", firstCopy: 1, lastCopy: 1 };
  if (copies === 1) return [originals];
  const hidden: KeyGroup = { name: "hidden", firstCopy: 2, lastCopy: copies };
  const cuts = cutsOf(system);
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

/** The copies c > 2 at which a relation begins to treat keys differently: it compares `k.copy` with c or c - 1. */
function cutsOf({ copies, predicates }: AttentionSystem): number[] {
  const cuts = new Set<number>();
  for (const part of predicates.flatMap(setOfPredicate)) {
    for (const { kind, form } of part.constraints) {
      const [only, ...more] = form.terms;
      if (only === undefined || more.length > 0 || only.atom.key !== "k.copy") continue;
      // Normal form has factor 1 or -1: k.copy >= -constant, or k.copy <= constant.
      const bound = only.factor > 0 ? -form.constant : form.constant;
      if (only.factor > 0 || kind === "zero") cuts.add(bound);
      if (only.factor < 0 || kind === "zero") cuts.add(bound + 1);
    }
  }
  return [...cuts].filter((cut) => cut > 2 && cut <= copies).sort((a, b) => a - b);
}

/** Joins neighbours whose keys are kept alike in every layer. */
function joinAlike(system: AttentionSystem, originals: KeyGroup, parts: readonly KeyGroup[]): KeyGroup[] {
  const retention = inferRetention(system, [originals, ...parts]);
  const lifetimes = parts.map((part, i) =>
    retention.map((layer) => lifetimeOf(layer[i + 1]!.layout, part.lastCopy - part.firstCopy + 1)).join(", "),
  );
  const joined: KeyGroup[] = [];
  parts.forEach((part, i) => {
    const previous = joined.at(-1);
    if (previous !== undefined && lifetimes[i] === lifetimes[i - 1]) {
      joined[joined.length - 1] = partOf(previous.firstCopy, part.lastCopy);
    } else joined.push(part);
  });
  return joined;
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
