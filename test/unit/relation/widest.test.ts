import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Predicate, sees } from "../../../src/ir/relation/predicate.js";
import { printPredicate } from "../../../src/ir/relation/print-predicate.js";
import { normalForm } from "../../../src/passes/tokens/normal-form.js";
import { tokens } from "../passes-tokens/brute-force.js";
import { and, arbitraryPredicate, at, compare, num, or, plus, times } from "./arbitrary-predicate.js";
import { mostly } from "./within-budget.js";

const copies = 3;
const own = and(compare(at("k.pos"), "==", at("q.pos")), compare(at("k.copy"), "<=", at("q.copy")));
const before = compare(at("k.pos"), "<", at("q.pos"));
const place = (side: "q" | "k") => plus(times(copies, at(`${side}.pos`)), at(`${side}.copy`));

const normal = (predicate: Predicate) => printPredicate(normalForm(predicate, copies));

describe("the parts of a relation are as wide as they can be", () => {
  it("earlier originals and own copies overlap in the own original", () => {
    expect(normal(or(and(before, compare(at("k.copy"), "==", num(1))), own))).toMatchInlineSnapshot(
      `"k.copy <= q.copy and q.pos == k.pos or k.pos <= q.pos and k.copy == 1"`,
    );
  });

  it("a window holds no question that earlier originals answer", () => {
    const hidden = and(compare(num(2), "<=", at("q.copy")), compare(num(2), "<=", at("k.copy")));
    const recent = and(before, hidden, compare(at("q.pos"), "<=", plus(at("k.pos"), num(4))));
    expect(normal(or(and(before, compare(at("k.copy"), "==", num(1))), own, recent))).toMatchInlineSnapshot(
      `"k.copy <= q.copy and q.pos == k.pos or k.pos < q.pos and q.pos <= k.pos + 4 and 2 <= q.copy or k.pos <= q.pos and k.copy == 1"`,
    );
  });

  it("everything earlier and own copies are what the stream has had", () => {
    const stream = normal(compare(place("k"), "<=", place("q")));
    expect(normal(or(before, own))).toBe(stream);
    expect(stream).toMatchInlineSnapshot(`"k.copy + 3 * k.pos <= q.copy + 3 * q.pos"`);
  });

  it("a part that others cover is gone", () => {
    const odd = and(before, compare(at("q.copy"), "==", num(2)));
    expect(normal(or(odd, before, own))).toBe(normal(or(before, own)));
  });

  it("and hold the same pairs of tokens, for any relation", () => {
    const all = tokens(6, copies);
    fc.assert(
      fc.property(arbitraryPredicate, (predicate) => {
        const found = normalForm(predicate, copies);
        for (const query of all) {
          for (const key of all) expect(sees(found, query, key)).toBe(sees(predicate, query, key));
        }
      }),
      { numRuns: 300, ...mostly },
    );
  });
});
