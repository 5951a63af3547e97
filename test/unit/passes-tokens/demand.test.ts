import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { add, div, eq, le, mod, mul, printExpr } from "../../../src/ir/expr.js";
import type { AttentionSystem } from "../../../src/passes/tokens/attention-system.js";
import { deriveDecode, derivePrefill } from "../../../src/passes/tokens/derive-phases.js";
import { groupTokens } from "../../../src/passes/tokens/group-tokens.js";
import { countRows, type RowSet } from "../../../src/passes/tokens/row-set.js";
import { eachRow } from "../../support/each-row.js";
import { firstDifference } from "./first-difference.js";
import { evenOriginals, modelOf, naive, phd, phdCswa, phdSwa, sinks, systems, vanilla } from "./library.js";
import { arbitrarySystem } from "./random-systems.js";

function printRows(rows: RowSet): string {
  const ranges = rows.ranges.map(
    ({ lo, hi, where }) =>
      `[${printExpr(lo)}, ${printExpr(hi)})${where === undefined ? "" : ` where ${printExpr(where)}`}`,
  );
  return `${rows.group} ${ranges.join(" ∪ ") || "none"}`;
}

function printPrefill(system: AttentionSystem): string {
  const side = (rows: readonly RowSet[]) => rows.map(printRows).join(", ");
  return derivePrefill(system, groupTokens(system))
    .layers.map(({ kv, query }, layer) => `${layer} kv ${side(kv)}\n${layer} query ${side(query)}`)
    .join("\n");
}

describe("prefill computes what is demanded and nothing else", () => {
  it("asks one query of the last layer of a vanilla model", () => {
    expect(printPrefill(modelOf(1, vanilla, 2))).toMatchInlineSnapshot(`
      "0 kv originals [start, n)
      0 query originals [start, n)
      1 kv originals [start, n)
      1 query originals [n - 1, n)"
    `);
  });

  it("computes hidden tokens of PHD at the last position only", () => {
    expect(printPrefill(modelOf(4, phd, 2))).toMatchInlineSnapshot(`
      "0 kv originals [start, n), hidden [n * 3 - 3, n * 3)
      0 query originals [start, n), hidden [n * 3 - 3, n * 3)
      1 kv originals [start, n), hidden [n * 3 - 3, n * 3)
      1 query originals none, hidden [n * 3 - 1, n * 3)"
    `);
  });

  it("finds the trapezoid of PHD-SWA, independent of the prompt's length", () => {
    expect(printPrefill(modelOf(3, phdSwa(3, 16), 4))).toMatchInlineSnapshot(`
      "0 kv originals [start, n), hidden [max(n * 2 - 65, 0), n * 2)
      0 query originals [start, n), hidden [max(n * 2 - 49, 0), n * 2)
      1 kv originals [start, n), hidden [max(n * 2 - 49, 0), n * 2)
      1 query originals [start, n), hidden [max(n * 2 - 33, 0), n * 2)
      2 kv originals [start, n), hidden [max(n * 2 - 33, 0), n * 2)
      2 query originals [start, n), hidden [max(n * 2 - 17, 0), n * 2)
      3 kv originals [start, n), hidden [max(n * 2 - 17, 0), n * 2)
      3 query originals none, hidden [n * 2 - 1, n * 2)"
    `);
  });

  it("widens the trapezoid by the own rule where the window is shorter than a position", () => {
    expect(printPrefill(modelOf(5, phdSwa(5, 2), 3))).toMatchInlineSnapshot(`
      "0 kv originals [start, n), hidden [max(n * 4 - 8, 0), n * 4)
      0 query originals [start, n), hidden [max(n * 4 - 6, 0), n * 4)
      1 kv originals [start, n), hidden [max(n * 4 - 6, 0), n * 4)
      1 query originals [start, n), hidden [n * 4 - 4, n * 4)
      2 kv originals [start, n), hidden [n * 4 - 4, n * 4)
      2 query originals none, hidden [n * 4 - 1, n * 4)"
    `);
  });

  it("keeps PHD-CSWA within the last chunk", () => {
    expect(printPrefill(modelOf(3, phdCswa(3, 16, 32), 4))).toMatchInlineSnapshot(`
      "0 kv originals [start, n), hidden [(n + 31) div 32 * 64 - 64, n * 2)
      0 query originals [start, n), hidden [max(n * 2 - 49, (n + 31) div 32 * 64 - 64), n * 2)
      1 kv originals [start, n), hidden [max(n * 2 - 49, (n + 31) div 32 * 64 - 64), n * 2)
      1 query originals [start, n), hidden [max(n * 2 - 33, (n + 31) div 32 * 64 - 64), n * 2)
      2 kv originals [start, n), hidden [max(n * 2 - 33, (n + 31) div 32 * 64 - 64), n * 2)
      2 query originals [start, n), hidden [max(n * 2 - 17, (n + 31) div 32 * 64 - 64), n * 2)
      3 kv originals [start, n), hidden [max(n * 2 - 17, (n + 31) div 32 * 64 - 64), n * 2)
      3 query originals none, hidden [n * 2 - 1, n * 2)"
    `);
  });

  it("computes everything of naive repetition", () => {
    expect(printPrefill(modelOf(3, naive, 2))).toMatchInlineSnapshot(`
      "0 kv originals [start, n), hidden [start * 2, n * 2)
      0 query originals [start, n), hidden [start * 2, n * 2)
      1 kv originals [start, n), hidden [start * 2, n * 2)
      1 query originals none, hidden [n * 2 - 1, n * 2)"
    `);
  });

  it("finds a window over originals and the sinks before it", () => {
    expect(printPrefill(modelOf(1, sinks(4, 8), 3))).toMatchInlineSnapshot(`
      "0 kv originals-before-4 [start, min(4, n)), originals-from-4 [max(4, n - 22), n)
      0 query originals-before-4 [start, min(4, n)), originals-from-4 [max(4, n - 15), n)
      1 kv originals-before-4 [start, min(4, n)), originals-from-4 [max(4, n - 15), n)
      1 query originals-before-4 [start, min(4, n)), originals-from-4 [max(4, n - 8), n)
      2 kv originals-before-4 [start, min(4, n)), originals-from-4 [max(4, n - 8), n)
      2 query originals-before-4 [n - 1, min(4, n)), originals-from-4 [max(4, n - 1), n)"
    `);
  });

  it("skips positions that no query can see", () => {
    expect(printPrefill(modelOf(2, evenOriginals, 2))).toMatchInlineSnapshot(`
      "0 kv originals [start, n), hidden [n - 1, n)
      0 query originals [start, n) where pos div 2 * 2 == pos ∪ [n - 1, n), hidden [n - 1, n)
      1 kv originals [start, n) where pos div 2 * 2 == pos ∪ [n - 1, n), hidden [n - 1, n)
      1 query originals none, hidden [n - 1, n)"
    `);
  });

  it.each(systems)("agrees with brute force for %s, at every start", (_, system) => {
    expect(firstDifference(system, 26, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13])).toBeUndefined();
  });

  it("agrees with brute force for random relations, at every start", () => {
    fc.assert(
      fc.property(arbitrarySystem, (system) => {
        // What is read far in the future needs a far horizon to be seen; most relations do not.
        const difference =
          firstDifference(system, 20, [1, 2, 4]) === undefined ? undefined : firstDifference(system, 200, [1, 2, 4]);
        expect(difference).toBeUndefined();
      }),
      { numRuns: 500 },
    );
  });

  it("counts the rows of a long prompt without enumerating them", () => {
    const system = modelOf(256, phdCswa(256, 16, 32), 3);
    const { layers } = derivePrefill(system, groupTokens(system));
    const sizes = { n: 2 ** 30, start: 5 };
    expect(layers[2]!.kv.map((rows) => countRows(rows, sizes))).toEqual([2 ** 30 - 5, 255]);
  });
});

describe("rows with holes", () => {
  const strided = (lo: number, hi: number): RowSet => ({
    group: "hidden",
    firstCopy: 2,
    lastCopy: 4,
    ranges: [
      { lo, hi, where: eq(mod("pos", 6), 5) },
      { lo: add(lo, 7), hi, where: le(add(mul("pos", 3), "copy", 4), mul(div(add(mul("pos", 3), "copy", 8), 10), 10)) },
      { lo: 20, hi: 31 },
    ],
  });

  it("are counted as they are enumerated", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 90 }), fc.integer({ min: 0, max: 700 }), (lo, length) => {
        const rows = strided(lo, lo + length);
        expect(countRows(rows, {})).toBe(eachRow(rows, {}).length);
      }),
    );
  });

  it("are counted by one period of a sequence that is too long to visit", () => {
    // 30 positions of 3 copies repeat, so every further 90 rows add as many.
    const rowsIn = (periods: number) => countRows(strided(180, 180 + 90 * periods), {});
    expect(rowsIn(10 ** 9)).toBe(rowsIn(1) + (10 ** 9 - 1) * (rowsIn(2) - rowsIn(1)));
    expect(rowsIn(3) - rowsIn(2)).toBe(eachRow(strided(180, 450), {}).length - rowsIn(2));
  });
});

describe("decode computes the copies that some position demands", () => {
  it("projects hidden keys in the last layer and asks one query", () => {
    const system = modelOf(4, phdSwa(4, 8), 2);
    expect(deriveDecode(system, groupTokens(system)).layers).toEqual([
      { kv: [[1, 4]], query: [[1, 4]] },
      { kv: [[1, 4]], query: [[4, 4]] },
    ]);
  });

  it("leaves out copies that nothing reads", () => {
    const system = { ...modelOf(4, phd, 2), predictCopy: 2 };
    expect(deriveDecode(system, groupTokens(system)).layers).toEqual([
      { kv: [[1, 2]], query: [[1, 2]] },
      { kv: [[1, 2]], query: [[2, 2]] },
    ]);
  });
});
