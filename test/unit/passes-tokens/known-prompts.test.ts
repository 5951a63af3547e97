/** Parts of a prompt that is known: slices of it, and prompts that share their beginning with what is cached. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { AttentionSystem } from "../../../src/passes/tokens/attention-system.js";
import { DemandAnalysis } from "../../../src/passes/tokens/demand.js";
import { derivePrefill } from "../../../src/passes/tokens/derive-phases.js";
import { groupTokens } from "../../../src/passes/tokens/group-tokens.js";
import type { RowSet } from "../../../src/passes/tokens/row-set.js";
import { eachRow } from "../../support/each-row.js";
import { demandByForce, type Flags, liveByForce, sightOf, steadyByForce } from "./brute-force.js";
import { systems } from "./library.js";
import { arbitrarySystem } from "./random-systems.js";

/** Rows of all groups as flags in stream order, for `length` tokens. */
function flagsOf(
  rows: readonly RowSet[],
  copies: number,
  sizes: { readonly n?: number; readonly start: number },
  length: number,
): Flags {
  const flags: Flags = new Array<boolean>(length).fill(false);
  for (const set of rows) for (const { pos, copy } of eachRow(set, sizes)) flags[pos * copies + copy - 1] = true;
  return flags;
}

const subset = (some: Flags, of: Flags) => some.every((flag, index) => !flag || of[index]!);

/** The first thing that the plans of a model do wrong, with prompts of up to `most` positions. */
function firstMistake(system: AttentionSystem, horizon: number, most: number): string | undefined {
  const groups = groupTokens(system);
  const analysis = new DemandAnalysis(system, groups);
  const { layers } = derivePrefill(system, groups, analysis);
  const isExact = analysis.approximation === undefined;
  const { copies } = system;
  const length = horizon * copies;
  const flags = (rows: readonly RowSet[], sizes: { readonly n?: number; readonly start: number }) =>
    flagsOf(rows, copies, sizes, length);
  const sight = sightOf(system, horizon);
  const steady = steadyByForce(system, sight, horizon);
  const lengths = Array.from({ length: most }, (_, index) => index + 1);
  const live = [liveByForce(system, sight, steady, 0), ...lengths.map((n) => liveByForce(system, sight, steady, n))];

  // What is said to be cached is written by every prompt that is longer, given at once or in two parts.
  for (const start of lengths.slice(0, -1)) {
    const cached = layers.map((layer) => flags(layer.cached, { start }));
    for (let first = 1; first < most; first++) {
      const before = layers.map(({ kv }) => flags(kv, { n: first, start: 0 }));
      for (let n = Math.max(first, start); n <= most; n++) {
        const after = layers.map(({ kv }) => flags(kv, { n, start: first }));
        for (const [layer, some] of cached.entries()) {
          const written = before[layer]!.map((flag, index) => flag || after[layer]![index]!);
          if (!subset(some, written)) return `layer ${layer} lacks keys of ${start} after ${first} and ${n} positions`;
        }
      }
    }

    for (let n = start + 1; n <= most; n++) {
      const expected = demandByForce(system, sight, live[n]!, n, cached);
      for (const [layer, rows] of layers.entries()) {
        for (const part of ["kv", "query", "input"] as const) {
          const found = flags(rows[part], { n, start });
          const wanted = expected[layer]![part];
          const isRight = isExact ? found.every((flag, i) => flag === wanted[i]!) : subset(wanted, found);
          if (!isRight) return `${part} of layer ${layer} for ${n} positions, cut to ${start}`;
        }
      }
    }
  }
  return undefined;
}

describe("a prompt that goes on from a cut prefix", () => {
  it.each(systems)("computes what brute force demands, and finds what it leaves out: %s", (_, system) => {
    expect(firstMistake(system, 22, 9)).toBeUndefined();
  });

  it("computes what brute force demands of random relations", () => {
    fc.assert(
      fc.property(arbitrarySystem, (system) => {
        // What is read far in the future needs a far horizon to be seen; most relations do not.
        const mistake = firstMistake(system, 18, 5) === undefined ? undefined : firstMistake(system, 80, 5);
        expect(mistake).toBeUndefined();
      }),
      { numRuns: 60 },
    );
  });
});
