/** What the analyses must find, by looking at every pair of tokens. */
import { sees, type Token } from "../../../src/ir/relation/predicate.js";
import type { AttentionSystem } from "../../../src/passes/tokens/attention-system.js";
import type { KeyGroup } from "../../../src/passes/tokens/group-tokens.js";

export const groupsOf = (copies: number): KeyGroup[] => [
  { name: "originals", firstCopy: 1, lastCopy: 1 },
  ...(copies > 1 ? [{ name: "hidden", firstCopy: 2, lastCopy: copies }] : []),
];

/** All tokens of the positions [0, positions), in stream order. */
export function tokens(positions: number, copies: number): Token[] {
  return Array.from({ length: positions * copies }, (_, i) => ({
    pos: Math.floor(i / copies),
    copy: (i % copies) + 1,
  }));
}

/** A set of tokens of the positions [0, horizon), as flags in stream order. */
export type Flags = boolean[];

export interface BruteLayer {
  readonly queries: Flags;
  readonly keys: Flags;
}

/** Sight of each predicate over all pairs: sight[predicate][query][key]. */
export function sightOf(system: AttentionSystem, horizon: number): boolean[][][] {
  const all = tokens(horizon, system.copies);
  return system.predicates.map((predicate) => all.map((query) => all.map((key) => sees(predicate, query, key))));
}

function keysSeen(sight: readonly boolean[][], queries: Flags): Flags {
  const keys: Flags = queries.map(() => false);
  queries.forEach((demanded, q) => {
    if (!demanded) return;
    sight[q]!.forEach((seen, k) => {
      if (seen) keys[k] = true;
    });
  });
  return keys;
}

/** Per layer, the rows that the outputs at all positions below the horizon depend on. */
export function steadyByForce(system: AttentionSystem, sight: readonly boolean[][][], horizon: number): BruteLayer[] {
  let queries: Flags = tokens(horizon, system.copies).map(({ copy }) => copy === system.predictCopy);
  const layers: BruteLayer[] = [];
  for (const predicate of [...system.layers].reverse()) {
    const keys = predicate === undefined ? queries.map(() => false) : keysSeen(sight[predicate]!, queries);
    layers.unshift({ queries, keys });
    queries = queries.map((flag, i) => flag || keys[i]!);
  }
  return layers;
}

/** Per layer, the keys of positions before n that demanded queries at n or later see. */
export function liveByForce(
  system: AttentionSystem,
  sight: readonly boolean[][][],
  steady: readonly BruteLayer[],
  n: number,
): Flags[] {
  return system.layers.map((predicate, layer) => {
    const later = steady[layer]!.queries.map((flag, i) => flag && i >= n * system.copies);
    if (predicate === undefined) return later.map(() => false);
    return keysSeen(sight[predicate]!, later).map((flag, i) => flag && i < n * system.copies);
  });
}

/** Per layer, what a prompt of n positions must compute where the keys of the first `start` positions are cached. */
export function prefillByForce(
  system: AttentionSystem,
  sight: readonly boolean[][][],
  live: readonly Flags[],
  n: number,
  start: number,
): { readonly query: Flags; readonly kv: Flags; readonly input: Flags }[] {
  return demandByForce(
    system,
    sight,
    live,
    n,
    live.map((flags) => flags.map((_, i) => i < start * system.copies)),
  );
}

/** The same where some keys are cached: flags per layer. */
export function demandByForce(
  system: AttentionSystem,
  sight: readonly boolean[][][],
  live: readonly Flags[],
  n: number,
  cached: readonly Flags[],
): { readonly query: Flags; readonly kv: Flags; readonly input: Flags }[] {
  const K = system.copies;
  let queries: Flags = live[0]!.map((_, i) => i === (n - 1) * K + system.predictCopy - 1);
  const layers: { query: Flags; kv: Flags; input: Flags }[] = [];
  for (let layer = system.layers.length - 1; layer >= 0; layer--) {
    const predicate = system.layers[layer];
    const seen = predicate === undefined ? queries.map(() => false) : keysSeen(sight[predicate]!, queries);
    const kv = seen.map((flag, i) => (flag || live[layer]![i]!) && !cached[layer]![i]! && i < n * K);
    const input = queries.map((flag, i) => flag || kv[i]!);
    layers.unshift({ query: queries, kv, input });
    queries = input;
  }
  return layers;
}
