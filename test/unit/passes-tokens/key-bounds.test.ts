import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { evaluate, printExpr } from "../../../src/ir/expr.js";
import { type Predicate, sees } from "../../../src/ir/relation/predicate.js";
import { type KeyBounds, keyBounds } from "../../../src/passes/tokens/key-bounds.js";
import { copiesIn } from "../../numeric/attention-reference.js";
import { arbitraryCausalPredicate } from "../relation/arbitrary-predicate.js";
import { groupsOf } from "./brute-force.js";
import { dilated, naive, phd, phdCswa, phdSwa, phdSwaPositions, sinks, slidingWindow, vanilla } from "./library.js";

/** What is wrong with the bounds of the first 9 positions; `loose` counts queries whose bounds are not the hull. */
function judge(predicate: Predicate, copies: number, groupIndex: number, bounds: KeyBounds) {
  const group = groupsOf(copies)[groupIndex]!;
  const size = copiesIn(group);
  let unsound = 0;
  let loose = 0;
  for (let pos = 0; pos < 9; pos++) {
    for (let copy = 1; copy <= copies; copy++) {
      const query = { pos, copy };
      const lo = evaluate(bounds.lo, { q_pos: pos, q_copy: copy });
      const hi = evaluate(bounds.hi, { q_pos: pos, q_copy: copy });
      const visible = Array.from({ length: (pos + 1) * size }, (_, i) =>
        sees(predicate, query, { pos: Math.floor(i / size), copy: group.firstCopy + (i % size) }),
      );
      visible.forEach((isVisible, i) => {
        const inside = lo <= i && i < hi;
        if (isVisible && !inside) unsound++;
        if (bounds.exact && inside && !isVisible) unsound++;
      });
      const first = visible.indexOf(true);
      if (first < 0 ? lo < hi : lo !== first || hi !== visible.lastIndexOf(true) + 1) loose++;
    }
  }
  return { unsound, loose };
}

const library: readonly (readonly [string, number, Predicate])[] = [
  ["vanilla", 1, vanilla],
  ["a sliding window", 1, slidingWindow(4)],
  ["naive repetition", 3, naive],
  ["PHD", 4, phd],
  ["PHD-SWA", 3, phdSwa(3, 4)],
  ["PHD-SWA in positions", 3, phdSwaPositions(2)],
  ["PHD-SWA with W < K - 2", 6, phdSwa(6, 2)],
  ["PHD-CSWA", 3, phdCswa(3, 5, 4)],
  ["PHD-CSWA with W < K - 2", 6, phdCswa(6, 2, 4)],
];

describe("the bounds of a query's keys", () => {
  it.each(library)("are exact and tight for %s", (_, copies, predicate) => {
    for (const [index, group] of groupsOf(copies).entries()) {
      const bounds = keyBounds(predicate, copies, group);
      expect(bounds.exact).toBe(true);
      expect(judge(predicate, copies, index, bounds)).toEqual({ unsound: 0, loose: 0 });
    }
  });

  it("are short expressions for PHD-CSWA", () => {
    const [originals, hidden] = groupsOf(3).map((group) => keyBounds(phdCswa(3, 16, 32), 3, group));
    expect(printExpr(originals!.lo)).toBe("0");
    expect(printExpr(originals!.hi)).toBe("q_pos + 1");
    expect(printExpr(hidden!.lo)).toMatchInlineSnapshot(
      `"select(2 <= q_copy, max(q_pos div 32 * 64, q_copy + q_pos * 2 - 18), 0)"`,
    );
    expect(printExpr(hidden!.hi)).toMatchInlineSnapshot(`"select(2 <= q_copy, q_copy + q_pos * 2 - 1, 0)"`);
  });

  it("need a mask where keys between them are invisible", () => {
    const [group] = groupsOf(1);
    expect(keyBounds(dilated(16, 4), 1, group!).exact).toBe(false);
    expect(keyBounds(sinks(4, 8), 1, group!).exact).toBe(false);
  });

  it("say that nothing of a group is seen", () => {
    const originalsOnly: Predicate = {
      kind: "and",
      parts: [
        vanilla,
        {
          kind: "compare",
          operator: "==",
          left: { kind: "coordinate", name: "k.copy" },
          right: { kind: "constant", value: 1 },
        },
      ],
    };
    expect(keyBounds(originalsOnly, 3, groupsOf(3)[1]!)).toEqual({ lo: 0, hi: 0, exact: true, empty: true });
  });

  it("are sound for random relations, and exact only where nothing between them is invisible", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 4 }), arbitraryCausalPredicate, (copies, predicate) => {
        for (const [index, group] of groupsOf(copies).entries()) {
          const bounds = keyBounds(predicate, copies, group);
          expect(judge(predicate, copies, index, bounds).unsound).toBe(0);
        }
      }),
      { numRuns: 300 },
    );
  });
});
