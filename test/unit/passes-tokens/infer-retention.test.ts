import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { evaluate, printExpr } from "../../../src/ir/expr.js";
import type { AttentionSystem } from "../../../src/passes/tokens/attention-system.js";
import { DemandAnalysis } from "../../../src/passes/tokens/demand.js";
import { groupTokens } from "../../../src/passes/tokens/group-tokens.js";
import { inferRetention, unreadKeys } from "../../../src/passes/tokens/infer-retention.js";
import { countRows } from "../../../src/passes/tokens/row-set.js";
import { copiesIn, holdsToken } from "../../../src/runtime/key-group.js";
import { and, at, compare, minus, num, or, times } from "../relation/arbitrary-predicate.js";
import { affordable, mostly } from "../relation/within-budget.js";
import { sightOf, steadyByForce, tokens } from "./brute-force.js";
import {
  dilated,
  doubling,
  evenOriginals,
  modelOf,
  naive,
  phd,
  phdCswa,
  phdSwa,
  phdSwaPositions,
  sinks,
  slidingWindow,
  vanilla,
} from "./library.js";
import { arbitrarySystem } from "./random-systems.js";

/** The layouts of a model of two layers: lower and last, each originals and hidden. */
function layouts(system: AttentionSystem) {
  return inferRetention(system, groupTokens(system)).map((layer) => layer.map(({ layout }) => layout));
}

const forever = { kind: "forever" };

describe("retention is what later demanded queries read", () => {
  it("keeps originals for ever and hidden keys of PHD for their own step", () => {
    const step = { kind: "step" };
    expect(layouts(modelOf(3, phd, 2))).toEqual([
      [forever, step],
      [forever, step],
    ]);
  });

  it("keeps W hidden keys of PHD-SWA, and W - K + 2 in the last layer", () => {
    for (const K of [2, 3, 5, 8, 256]) {
      for (const W of [0, 1, 2, 7, 16, 300]) {
        const last = W - K + 2;
        expect(layouts(modelOf(K, phdSwa(K, W), 2))).toEqual([
          [forever, W === 0 ? { kind: "step" } : { kind: "ring", slots: W }],
          [forever, last <= 0 ? { kind: "step" } : { kind: "ring", slots: last }],
        ]);
      }
    }
  });

  it("keeps W·(K - 1) hidden keys where the window counts positions", () => {
    expect(layouts(modelOf(4, phdSwaPositions(5), 2))[0]).toEqual([forever, { kind: "ring", slots: 15 }]);
  });

  it("keeps min(W, (C - 1)(K - 1)) hidden keys of PHD-CSWA, and none past the chunk's end", () => {
    for (const [K, W, C] of [
      [3, 16, 32],
      [3, 16, 4],
      [2, 5, 3],
      [6, 100, 8],
    ] as const) {
      const chunked = (slots: number) => (slots > 0 ? { kind: "ring-in-chunk", slots, chunk: C } : { kind: "step" });
      const inChunk = (C - 1) * (K - 1);
      expect(layouts(modelOf(K, phdCswa(K, W, C), 2))).toEqual([
        [forever, chunked(Math.min(W, inChunk))],
        [forever, chunked(Math.min(Math.max(0, W - K + 2), inChunk))],
      ]);
    }
  });

  it("keeps nothing of PHD-CSWA with chunks of one position", () => {
    expect(layouts(modelOf(3, phdCswa(3, 16, 1), 2))).toEqual(layouts(modelOf(3, phd, 2)));
  });

  it("keeps all keys of naive repetition and of a vanilla model", () => {
    expect(layouts(modelOf(3, naive, 1))).toEqual([[forever, forever]]);
    expect(layouts(modelOf(1, vanilla, 1))).toEqual([[forever]]);
  });

  it("keeps a window over originals in a ring, and every d-th of it as far as one is read", () => {
    expect(layouts(modelOf(1, slidingWindow(8), 1))).toEqual([[{ kind: "ring", slots: 7 }]]);
    expect(layouts(modelOf(1, dilated(16, 4), 1))).toEqual([[{ kind: "ring", slots: 12 }]]);
  });

  it("does not project copies that no prediction reads", () => {
    const system = { ...modelOf(3, phd, 2), predictCopy: 1 };
    expect(layouts(system)[0]).toEqual([forever, { kind: "unread" }]);
  });

  it("names the alternative that forces the layout", () => {
    const system = modelOf(3, phdCswa(3, 16, 32), 2);
    const [layer] = inferRetention(system, groupTokens(system));
    expect(layer!.map(({ reason }) => reason.text)).toMatchInlineSnapshot(`
      [
        "\`k.copy == 1 and k.pos < q.pos\` reads these keys at any distance",
        "\`q.copy > 1 and k.copy > 1 and k.pos < q.pos and 2 * q.pos + q.copy - 2 - (2 * k.pos + k.copy - 2) <= 16 and q.pos div 32 == k.pos div 32\` reads 16 keys back from the end of the sequence, and none past a multiple of 32 positions",
      ]
    `);
  });

  it("warns where a limited lifetime has no layout, and tells the slack", () => {
    const system = modelOf(1, doubling, 1);
    const [[originals]] = inferRetention(system, groupTokens(system)) as [[ReturnType<typeof inferRetention>[0][0]]];
    expect(originals.layout).toEqual(forever);
    expect(originals.warning?.code).toBe("PHD0404");
    expect(countRows(originals.read, { n: 100 })).toBe(50);
    expect(unreadKeys(originals, 100)).toBe(50);
    const kept = inferRetention(modelOf(1, vanilla, 1), groupTokens(modelOf(1, vanilla, 1)))[0]![0]!;
    expect(kept.warning).toBeUndefined();
  });

  it("keeps attention sinks for ever and the window behind them in a ring, with nothing to spare", () => {
    const system = modelOf(1, sinks(4, 8), 2);
    for (const layer of inferRetention(system, groupTokens(system))) {
      expect(layer.map(({ layout }) => layout)).toEqual([forever, { kind: "ring", slots: 7 }]);
      for (const kept of layer) {
        expect(kept.warning).toBeUndefined();
        for (const n of [1, 3, 4, 5, 10, 11, 12, 1000]) expect(unreadKeys(kept, n)).toBe(0);
      }
      expect(layer.map(({ live }) => [1, 3, 6, 100].map((n) => evaluate(live, { n })))).toEqual([
        [1, 3, 4, 4],
        [0, 0, 2, 7],
      ]);
    }
  });

  it("keeps no more for the sake of lengths that no sequence has", () => {
    // Visible at the first few positions only, and one position back; lengths below 1 would reach farther.
    const early = compare(times(7, minus(at("q.pos"), at("k.pos"))), "<=", minus(num(12), at("q.pos")));
    const system = modelOf(1, and(vanilla, or(early, compare(at("k.pos"), "==", at("q.pos")))), 1);
    expect(layouts(system)).toEqual([[{ kind: "ring", slots: 1 }]]);
  });

  it("has no slack where every kept key is read", () => {
    const system = modelOf(3, phdCswa(3, 16, 32), 2);
    for (const layer of inferRetention(system, groupTokens(system))) {
      for (const kept of layer) {
        for (const n of [1, 5, 31, 32, 33, 40, 64, 1000]) expect(unreadKeys(kept, n), printExpr(kept.live)).toBe(0);
      }
    }
  });

  it("keeps hidden copies' even originals for ever, with slack where odd ones are never read", () => {
    const system = modelOf(2, evenOriginals, 1);
    const [originals] = inferRetention(system, groupTokens(system))[0]!;
    expect(originals!.layout).toEqual(forever);
    expect(countRows(originals!.read, { n: 9 })).toBe(5);
    expect(unreadKeys(originals!, 9)).toBe(4);
  });
});

describe("layouts of random relations", () => {
  /** Positions that brute force looks at; some relations look back farther, and are looked at again with more. */
  const horizons = [40, 120];

  it("are as large as the farthest key that brute force finds read, and no larger", () => {
    fc.assert(
      fc.property(arbitrarySystem, (system) => {
        const wrong = affordable(() => {
          let found: string[] = [];
          for (const positions of horizons) {
            found = wrongLayouts(system, positions);
            if (found.length === 0) break;
          }
          return found;
        });
        expect(wrong).toEqual([]);
      }),
      { numRuns: 500, seed: 20250424, ...mostly },
    );
  });

  function wrongLayouts(system: AttentionSystem, positions: number): string[] {
    const groups = groupTokens(system);
    const analysis = new DemandAnalysis(system, groups);
    const retention = inferRetention(system, groups, analysis);
    if (analysis.approximation !== undefined) return [];
    const all = tokens(positions, system.copies);
    const sight = sightOf(system, positions);
    const steady = steadyByForce(system, sight, positions);
    return retention.flatMap((ofLayer, layer) =>
      ofLayer.flatMap(({ layout }, index) => {
        const group = groups[index]!;
        const size = copiesIn(group);
        let [farthest, farthestEarly] = [0, 0];
        const predicate = system.layers[layer];
        for (const [q, query] of all.entries()) {
          if (predicate === undefined || !steady[layer]!.queries[q]) continue;
          for (const [k, key] of all.entries()) {
            if (key.pos >= query.pos || !sight[predicate]![q]![k] || !holdsToken(group, key.pos, key.copy)) continue;
            // Read at query.pos, so kept when so many positions were there.
            const reach = (query.pos - key.pos) * size - (key.copy - group.firstCopy);
            farthest = Math.max(farthest, reach);
            if (query.pos < positions / 2) farthestEarly = Math.max(farthestEarly, reach);
          }
        }
        const isRead = steady[layer]!.keys.some((read, k) => read && holdsToken(group, all[k]!.pos, all[k]!.copy));
        // Few readers far away may stand behind the horizon.
        const isCutOff = farthest > (positions / 2) * size;
        const isRight =
          layout.kind === "unread"
            ? !isRead
            : layout.kind === "step"
              ? isRead && farthest === 0
              : layout.kind === "forever"
                ? group.endPos !== undefined || farthest > farthestEarly
                : layout.slots === farthest || (layout.slots > farthest && isCutOff);
        return isRight ? [] : [`layer ${layer}, ${group.name}: ${JSON.stringify(layout)}, farthest ${farthest}`];
      }),
    );
  }
});
