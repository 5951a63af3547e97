import { describe, expect, it } from "vitest";
import { groupOf, holdsToken, partitionFault } from "../../../src/runtime/key-group.js";

const originals = { name: "originals", firstCopy: 1, lastCopy: 1 };
const first = { name: "first", firstCopy: 2, lastCopy: 3, endPos: 4 };
const rest = { name: "rest", firstCopy: 2, lastCopy: 3, firstPos: 4 };

describe("key groups", () => {
  it("part the tokens: the copies in order, and positions within them", () => {
    expect(partitionFault([originals, first, rest], 3)).toBeUndefined();
    const groups = [originals, first, rest];
    for (let pos = 0; pos < 8; pos++) {
      for (const copy of [1, 2, 3]) {
        const holding = groups.filter((group) => holdsToken(group, pos, copy));
        expect(holding).toEqual([groups[groupOf(groups, pos, copy)]]);
      }
    }
    expect(groups[groupOf(groups, 3, 2)]).toBe(first);
    expect(groups[groupOf(groups, 4, 2)]).toBe(rest);
  });

  it.each([
    ["a copy is missing", [originals, { ...first, firstCopy: 3 }, { ...rest, firstCopy: 3 }], 3],
    ["the last copies are missing", [originals, first, rest], 4],
    ["a copy is in two groups", [originals, { name: "all", firstCopy: 1, lastCopy: 3 }], 3],
    ["positions overlap", [originals, first, { ...rest, firstPos: 3 }], 3],
    ["positions have a gap", [originals, first, { ...rest, firstPos: 5 }], 3],
    ["positions end", [originals, first], 3],
    ["positions do not begin at 0", [originals, rest], 3],
    ["parts have different copies", [originals, first, { ...rest, lastCopy: 2 }], 3],
    ["a part has no positions", [originals, { ...first, endPos: 0 }, { ...rest, firstPos: 0 }], 3],
  ] as const)("are refused where %s", (_, groups, copies) => {
    expect(partitionFault(groups, copies)).toBeDefined();
  });
});
