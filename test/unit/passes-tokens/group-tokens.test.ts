import { describe, expect, it } from "vitest";
import type { Predicate } from "../../../src/ir/relation/predicate.js";
import { groupTokens } from "../../../src/passes/tokens/group-tokens.js";
import { inferRetention } from "../../../src/passes/tokens/infer-retention.js";
import { and, at, compare, div, num, or, times } from "../relation/arbitrary-predicate.js";
import { modelOf, naive, phd, phdCswa, phdSwa, recent, sinks, slidingWindow, vanilla } from "./library.js";

const names = (system: ReturnType<typeof modelOf>) => groupTokens(system).map(({ name }) => name);

describe("copies are grouped by how long their keys live", () => {
  it("has originals and hidden tokens in every variant of the paper", () => {
    expect(groupTokens(modelOf(1, vanilla, 2))).toEqual([{ name: "originals", firstCopy: 1, lastCopy: 1 }]);
    for (const predicate of [naive, phd, phdSwa(5, 3), phdCswa(5, 3, 4)]) {
      expect(groupTokens(modelOf(5, predicate, 2))).toEqual([
        { name: "originals", firstCopy: 1, lastCopy: 1 },
        { name: "hidden", firstCopy: 2, lastCopy: 5 },
      ]);
    }
  });

  it("parts hidden copies that are seen for ever from those seen in their own step", () => {
    const secondForEver = or(phd, and(compare(at("k.copy"), "==", num(2)), compare(at("k.pos"), "<", at("q.pos"))));
    const system = modelOf(6, secondForEver, 2);
    const groups = groupTokens(system);
    expect(groups).toEqual([
      { name: "originals", firstCopy: 1, lastCopy: 1 },
      { name: "copies-2-2", firstCopy: 2, lastCopy: 2 },
      { name: "copies-3-6", firstCopy: 3, lastCopy: 6 },
    ]);
    expect(inferRetention(system, groups)[0]!.map(({ layout }) => layout.kind)).toEqual(["forever", "forever", "step"]);
  });

  it("parts copies that a window reaches from those it does not", () => {
    const upperWindow = or(phd, and(recent(6, 20), compare(at("k.copy"), ">=", num(4))));
    expect(names(modelOf(6, upperWindow, 2))).toEqual(["originals", "copies-2-3", "copies-4-6"]);
  });

  it("parts the first positions from the others where only they are kept for ever", () => {
    expect(groupTokens(modelOf(1, sinks(4, 8), 2))).toEqual([
      { name: "originals-before-4", firstCopy: 1, lastCopy: 1, endPos: 4 },
      { name: "originals-from-4", firstCopy: 1, lastCopy: 1, firstPos: 4 },
    ]);
    // Hidden keys are for their own step, wherever they stand.
    const own = and(compare(at("k.pos"), "==", at("q.pos")), compare(at("k.copy"), "<=", at("q.copy")));
    const original = compare(at("k.copy"), "==", num(1));
    expect(names(modelOf(3, or(and(original, sinks(4, 8)), own), 2))).toEqual([
      "originals-before-4",
      "originals-from-4",
      "hidden",
    ]);
    expect(names(modelOf(3, sinks(4, 8), 2))).toEqual([
      "originals-before-4",
      "originals-from-4",
      "hidden-before-4",
      "hidden-from-4",
    ]);
  });

  it("finds the first positions however the relation says them, and no more of them than need be", () => {
    const window = slidingWindow(8);
    const seen = (...parts: Predicate[]) => names(modelOf(1, or(window, and(vanilla, or(...parts))), 2));
    expect(seen(compare(div(at("k.pos"), 5), "==", num(0)))[0]).toBe("originals-before-5");
    expect(seen(compare(times(2, at("k.pos")), "<", num(7)))[0]).toBe("originals-before-4");
    expect(seen(compare(at("k.pos"), "==", num(0)))[0]).toBe("originals-before-1");
    expect(seen(compare(at("k.pos"), "<", num(3)), and(slidingWindow(6), compare(at("k.pos"), "<", num(90))))[0]).toBe(
      "originals-before-3",
    );
  });

  it("keeps positions together that are compared with constants but kept alike", () => {
    const late = or(phd, and(recent(4, 9), compare(at("k.pos"), ">=", num(20))));
    expect(names(modelOf(4, late, 2))).toEqual(["originals", "hidden"]);
    expect(names(modelOf(1, or(vanilla, sinks(4, 8)), 2))).toEqual(["originals"]);
    expect(names(modelOf(1, and(slidingWindow(6), compare(at("k.pos"), ">=", num(2))), 2))).toEqual(["originals"]);
  });

  it("keeps copies together that are compared with constants but kept alike", () => {
    const sameForBoth = or(
      and(vanilla, compare(at("k.copy"), "<=", num(3))),
      and(vanilla, compare(at("k.copy"), ">", num(3))),
    );
    expect(names(modelOf(6, sameForBoth, 2))).toEqual(["originals", "hidden"]);
  });
});
