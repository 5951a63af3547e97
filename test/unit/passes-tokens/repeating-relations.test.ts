/** Relations whose chunks cut through positions: their rows are exact in every layer, not in the upper ones only. */
import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { printExpr } from "../../../src/ir/expr.js";
import type { Predicate } from "../../../src/ir/relation/predicate.js";
import { DemandAnalysis } from "../../../src/passes/tokens/demand.js";
import { derivePrefill } from "../../../src/passes/tokens/derive-phases.js";
import { groupTokens } from "../../../src/passes/tokens/group-tokens.js";
import { repetitionOf } from "../../../src/passes/tokens/repetition.js";
import { and, at, compare, div, minus, mod, num, or, plus, times } from "../relation/arbitrary-predicate.js";
import { firstDifference } from "./first-difference.js";
import {
  alternating,
  dilated,
  doubling,
  hiddenPast,
  modelOf,
  phd,
  phdCswa,
  recent,
  recentPositions,
  sameHiddenChunk,
  sinks,
  vanilla,
} from "./library.js";

// Seconds of work each; machines that run the tests are often busy.
vi.setConfig({ testTimeout: 400_000 });

describe("what repeats along the positions", () => {
  it.each<readonly [string, Predicate, number]>([
    ["order alone", vanilla, 1],
    ["chunks of positions", phdCswa(3, 4, 6), 6],
    ["chunks of hidden tokens", sameHiddenChunk(4, 10), 10],
    ["chunks of hidden tokens that hold whole positions", sameHiddenChunk(3, 10), 5],
    ["distances that three divides", dilated(6, 3), 3],
  ])("is found for %s", (_, predicate, period) => {
    expect(repetitionOf([predicate], 4)?.period).toBe(period);
  });

  it("is nothing in rules about the first positions, and in lifetimes that grow", () => {
    expect(repetitionOf([sinks(2, 3)], 1)).toBeUndefined();
    expect(repetitionOf([doubling], 1)).toBeUndefined();
  });

  it("depends on places alone from its reach on", () => {
    for (const predicate of [phdCswa(3, 4, 6), sameHiddenChunk(3, 7), recent(3, 5), dilated(6, 3)]) {
      const { period, reach } = repetitionOf([predicate], 3)!;
      expect(reach % period).toBe(0);
      expect(reach).toBeLessThanOrEqual(8 * period + 40);
    }
  });
});

describe("prefill of relations that repeat", () => {
  it("follows chunks that cut through positions through all layers", () => {
    const system = modelOf(4, or(phd, and(hiddenPast, sameHiddenChunk(4, 10))), 6);
    const groups = groupTokens(system);
    const analysis = new DemandAnalysis(system, groups);
    const { layers } = derivePrefill(system, groups, analysis);
    expect(analysis.approximation).toBeUndefined();
    // Three chunks are ten positions: none reaches farther back than where chunk and position begin together.
    const hidden = layers.map(({ kv }) => kv[1]!.ranges.map(({ lo, hi }) => `[${printExpr(lo)}, ${printExpr(hi)})`));
    expect(hidden[0]).toEqual(["[max((n + 9) div 10 * 30 - 30, 0), n * 3)"]);
    expect(hidden[3]).toMatchInlineSnapshot(`
      [
        "[max((n + 9) div 10 * 30 - 30, 0), select(n + 4 <= (n + 9) div 10 * 10, n * 3, max((n + 9) div 10 * 30 - 30, 0)))",
        "[max(n * 3 - 12, 0), select((n + 9) div 10 * 10 == n + 3, n * 3, max(n * 3 - 12, 0)))",
        "[max((n + 9) div 10 * 30 - 20, 0), select((n + 9) div 10 * 10 <= n + 2, n * 3, max((n + 9) div 10 * 30 - 20, 0)))",
      ]
    `);
    expect(firstDifference(system, 42, [1, 2, 5, 9, 10, 11, 14, 21, 28])).toBeUndefined();
  });

  it("keeps keys of all earlier positions where later steps read farther back than the queries differ", () => {
    const place = (name: "q" | "k") => plus(times(2, at(`${name}.pos`)), at(`${name}.copy`));
    const near = compare(minus(div(place("q"), 4), div(place("k"), 4)), "<=", num(1));
    const everyThird = compare(mod(plus(minus(at("q.pos"), at("k.pos")), at("k.copy")), 3), "==", num(0));
    const predicates = [near, everyThird].map((condition) => or(phd, and(hiddenPast, condition)));
    expect(firstDifference(alternating(4, predicates, 3), 24, [1, 5, 8, 11], true)).toBeUndefined();
  });

  it("computes more than is demanded, and says so, where relations repeat after too many positions to tell", () => {
    const chunks = and(sameHiddenChunk(3, 11), sameHiddenChunk(3, 13));
    const system = modelOf(3, or(phd, and(hiddenPast, chunks)), 4);
    const groups = groupTokens(system);
    const analysis = new DemandAnalysis(system, groups);
    derivePrefill(system, groups, analysis);
    expect(repetitionOf([chunks], 3)?.period).toBe(143);
    expect(analysis.approximation?.code).toBe("PHD0407");
    expect(firstDifference(system, 30, [1, 2, 5, 9, 14])).toBeUndefined();
  });

  const conditions: fc.Arbitrary<(copies: number) => Predicate> = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.integer({ min: 2, max: 12 }).map((size) => (copies: number) => sameHiddenChunk(copies, size)),
    },
    {
      weight: 1,
      arbitrary: fc.integer({ min: 1, max: 9 }).map((window) => (copies: number) => recent(copies, window)),
    },
    { weight: 1, arbitrary: fc.integer({ min: 1, max: 3 }).map((window) => () => recentPositions(window)) },
    {
      weight: 1,
      arbitrary: fc
        .tuple(fc.integer({ min: 2, max: 4 }), fc.integer({ min: 1, max: 3 }))
        .map(([divisor, factor]) => () => {
          const distance = minus(at("q.pos"), at("k.pos"));
          return compare(mod(plus(times(factor, distance), at("k.copy")), divisor), "==", num(0));
        }),
    },
    {
      weight: 1,
      arbitrary: fc.integer({ min: 2, max: 5 }).map((size) => () => {
        const place = (name: "q" | "k") => plus(times(2, at(`${name}.pos`)), at(`${name}.copy`));
        return compare(minus(div(place("q"), size), div(place("k"), size)), "<=", num(1));
      }),
    },
  );

  it("agrees with brute force in 3 to 6 layers of random chunks and windows, at every start", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 5 }),
        fc.array(fc.array(conditions, { minLength: 1, maxLength: 1 }), { minLength: 1, maxLength: 2 }),
        fc.integer({ min: 3, max: 6 }),
        (copies, rules, layers) => {
          const predicates = rules.map((parts) => or(phd, and(hiddenPast, ...parts.map((part) => part(copies)))));
          const system = alternating(copies, predicates, layers);
          // Chunks that meet only after hundreds of positions would make a plan of as many cases.
          const mustBeExact = repetitionOf(predicates, copies)!.period <= 30;
          expect(firstDifference(system, 24, [1, 2, 4, 7, 11], mustBeExact)).toBeUndefined();
        },
      ),
      { numRuns: 25, seed: 20250424 },
    );
  });
});
