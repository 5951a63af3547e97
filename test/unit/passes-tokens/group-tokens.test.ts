import { describe, expect, it } from "vitest";
import { groupTokens } from "../../../src/passes/tokens/group-tokens.js";
import { inferRetention } from "../../../src/passes/tokens/infer-retention.js";
import { and, at, compare, num, or } from "../relation/arbitrary-predicate.js";
import { modelOf, naive, phd, phdCswa, phdSwa, recent, vanilla } from "./library.js";

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

  it("keeps copies together that are compared with constants but kept alike", () => {
    const sameForBoth = or(
      and(vanilla, compare(at("k.copy"), "<=", num(3))),
      and(vanilla, compare(at("k.copy"), ">", num(3))),
    );
    expect(names(modelOf(6, sameForBoth, 2))).toEqual(["originals", "hidden"]);
  });
});
