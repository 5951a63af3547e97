import { describe, expect, it } from "vitest";
import { AccessCounts, runKernel } from "../../src/interpret/kernel/run-kernel.js";
import type { Capabilities } from "../../src/ir/kernel/capabilities.js";
import { eachStatement } from "../../src/ir/kernel/walk.js";
import type { Token } from "../../src/ir/relation/predicate.js";
import { keyBounds } from "../../src/passes/tokens/key-bounds.js";
import type { AttentionCase, Relation } from "./attention-reference.js";
import { dilated, evenPositions, lonely, naive, phd, phdCswa, phdSwa, vanilla } from "./attention-relations.js";
import { expectLiveKeysOnce, newest, type Prepared, prepareDecode, preparePrefill, slice } from "./attention-runs.js";
import { withoutSubgroups, withSubgroups } from "./linear-reference.js";

interface Run {
  readonly capabilities?: Capabilities;
  readonly subgroupSize?: number;
  readonly splits?: number;
  readonly count?: AccessCounts;
}

function interpret(prepared: Prepared, { subgroupSize = 32, count }: Run): Prepared {
  for (const { kernel, ...run } of prepared.runs) runKernel(kernel, { ...run, subgroupSize, count, detectRaces: true });
  prepared.check();
  return prepared;
}

function runPrefill(test: AttentionCase, run: Run = {}): Prepared {
  return interpret(preparePrefill(test, run.capabilities ?? withoutSubgroups), run);
}

function runDecode(test: AttentionCase, run: Run = {}): Prepared {
  return interpret(prepareDecode(test, run.capabilities ?? withoutSubgroups, run.splits ?? 3), run);
}

const shape = { heads: 4, kvHeads: 2, width: 8, cache: "f32" } as const;
const decode = { ...shape, order: "decode", store: "forever", tileRows: 16 } as const;
const prefill = { ...shape, order: "prefill", store: "forever", tileRows: 16 } as const;

const relations = [
  vanilla,
  naive(3),
  phd(2),
  phd(5),
  phdSwa(2, 16),
  phdSwa(3, 1),
  phdSwa(5, 7),
  phdCswa(3, 16, 8),
  phdCswa(2, 4, 5),
  dilated(1, 2, 9),
  dilated(3, 3, 12),
  evenPositions(2),
  lonely(3),
];

describe("decode attention", () => {
  it.each(relations)("gives all copies of $name what they see, in sequences of different lengths", (relation) => {
    const sequences = [1, 7, 32, 33, 40].map((length) => newest(length, relation.copies));
    for (const store of ["forever", "ring"] as const) runDecode({ ...decode, relation, sequences, store });
  });

  it.each([8, 16, 24, 32, 64, 96, 128, 5, 6])("handles heads of width %i", (width) => {
    const relation = phdCswa(3, 16, 32);
    const sequences = [newest(38, 3), newest(5, 3)];
    runDecode({ ...decode, relation, sequences, width });
    runDecode({ ...decode, relation, sequences, width, cache: "f16" }, { capabilities: withSubgroups });
  });

  it.each([1, 2, 3, 5, 16, 70])("handles K = %i copies", (copies) => {
    const relation = phdSwa(copies, 2 * copies);
    const sequences = [newest(9, copies), newest(4, copies)];
    for (const tileRows of [32, 7]) runDecode({ ...decode, relation, sequences, tileRows });
    runDecode({ ...decode, relation, sequences, tileRows: 32, store: "ring" }, { capabilities: withSubgroups });
  });

  it("cuts tiles that have more query rows than a workgroup takes", () => {
    const test = { ...decode, relation: phd(3), sequences: [newest(21, 3), newest(3, 3)] };
    runDecode({ ...test, heads: 71, kvHeads: 1 });
    runDecode({ ...test, heads: 34, kvHeads: 1, tileRows: 4 });
  });

  it.each([1, 2, 3, 7, 40])("divides the keys among %i splits, some of them without any", (splits) => {
    const relation = phdSwa(2, 16);
    const sequences = [newest(150, 2), newest(2, 2)];
    const { runs } = runDecode({ ...decode, relation, sequences }, { splits });
    if (splits === 40) expect(runs[0]!.buffers["partial_stats"]).toContain(Math.fround(-1e30));
  });

  it.each([4, 8, 32, 64])("agrees with subgroups of %i", (subgroupSize) => {
    for (const copies of [1, 2, 5]) {
      const relation = phdCswa(copies, 16, 32);
      const test = { ...decode, relation, sequences: [newest(50, copies), newest(33, copies)] };
      runDecode(test, { capabilities: withSubgroups, subgroupSize });
      runDecode({ ...test, heads: 1, kvHeads: 1, width: 64 }, { capabilities: withSubgroups, subgroupSize });
    }
  });

  it.each([1, 3, 16])("reads every live key and value once for all rows of K = %i copies", (copies) => {
    for (const [heads, kvHeads, width] of [
      [8, 2, 16],
      [4, 4, 64],
      [1, 1, 6],
    ] as const) {
      const relation = phdCswa(copies, 16, 32);
      const test = { ...decode, relation, heads, kvHeads, width, sequences: [newest(75, copies), newest(9, copies)] };
      const count = new AccessCounts();
      expectLiveKeysOnce(runDecode(test, { splits: 2, count }), count, width % 4 === 0 ? 4 : 2);
    }
  });
});

describe("the loop over keys", () => {
  it("has two barriers for a tile of keys, whatever the rows", () => {
    for (const copies of [1, 3, 16]) {
      const test = { ...decode, relation: phdSwa(copies, 16), sequences: [newest(9, copies)], width: 64 };
      for (const { runs } of [prepareDecode(test, withSubgroups, 1), preparePrefill(test, withoutSubgroups)]) {
        const loops: number[] = [];
        eachStatement(runs[0]!.kernel.body, (statement) => {
          if (statement.kind !== "for") return;
          const barriers = statement.body.filter(({ kind }) => kind === "barrier").length;
          if (barriers > 0) loops.push(barriers);
        });
        expect(loops).toEqual(copies === 1 ? [2] : [2, 2]);
      }
    }
  });
});

describe("prefill attention", () => {
  it("loads a key once for all rows of a tile that see it", () => {
    const relation = phdSwa(2, 8);
    const test = { ...prefill, relation, sequences: [slice(50, 2, 42)], tileRows: 16 } as const;
    const count = new AccessCounts();
    const { layout } = runPrefill(test, { count });
    expect(layout.tileCount).toBe(1);
    layout.live.forEach((live, g) => {
      count.of(`keys_${g}`).loadsOfElement.forEach((loads, element) => {
        if (loads !== (live.has(element * 4) ? 1 : 0)) expect.fail(`group ${g}: ${loads} loads of element ${element}`);
      });
    });
  });

  it.each(relations)("gives every token of $name what it sees, in prompts of different lengths", (relation) => {
    const sequences = [1, 6, 21].map((length) => slice(length, relation.copies));
    runPrefill({ ...prefill, relation, sequences });
    // A slice that continues a prompt, over keys that lie in a scratch.
    const later = [slice(29, relation.copies, 20), slice(9, relation.copies, 8)];
    runPrefill({ ...prefill, relation, sequences: later, store: "scratch" });
  });

  it.each([8, 16, 24, 32, 64, 96, 128, 5, 6])("handles heads of width %i", (width) => {
    const relation = phdCswa(2, 16, 8);
    const sequences = [slice(19, 2), slice(3, 2)];
    runPrefill({ ...prefill, relation, sequences, width });
    runPrefill({ ...prefill, relation, sequences, width, cache: "f16" }, { capabilities: withSubgroups });
  });

  it.each([1, 2, 3, 5, 16, 70])("handles K = %i copies", (copies) => {
    const relation = phdSwa(copies, 2 * copies);
    runPrefill({ ...prefill, relation, sequences: [slice(3, copies), slice(1, copies)], tileRows: 32 });
  });

  it("handles tiles with fewer rows than they may have, and rows that skip positions", () => {
    const relation = phdCswa(3, 16, 8);
    const queries: Token[] = [
      { pos: 2, copy: 1 },
      { pos: 9, copy: 2 },
      { pos: 16, copy: 3 },
      { pos: 17, copy: 1 },
      { pos: 23, copy: 3 },
    ];
    for (const tileRows of [1, 2, 3, 32]) {
      runPrefill({ ...prefill, relation, sequences: [{ length: 24, queries }], tileRows, store: "scratch" });
    }
  });

  it("takes long prompts through tiles that need no mask", () => {
    const relation = vanilla;
    const sequences = [slice(140, 1, 120), slice(90, 1, 70)];
    runPrefill({ ...prefill, relation, sequences, heads: 2, kvHeads: 1, width: 16 });
    runPrefill({ ...prefill, relation, sequences, heads: 2, kvHeads: 2, width: 16 }, { capabilities: withSubgroups });
  });

  it("cuts tiles that have more query rows than a workgroup takes", () => {
    const test = { ...prefill, relation: phd(2), sequences: [slice(11, 2), slice(4, 2)] };
    runPrefill({ ...test, heads: 12, kvHeads: 1, tileRows: 16 });
    runPrefill({ ...test, heads: 71, kvHeads: 1, tileRows: 1, width: 4 });
  });
});

describe("attention with the bounds that the compiler derives", () => {
  /** Only a predicate and groups are given. */
  function derived(relation: Relation): Relation {
    const { copies, groups, predicate } = relation;
    const parts = groups.map((group) => {
      const { lo, hi, exact, empty } = keyBounds(predicate, copies, group);
      return { group: group.name, density: empty ? "empty" : exact ? "dense" : "ranged", lo, hi } as const;
    });
    return { ...relation, parts };
  }

  it.each(relations)("serves $name", (relation) => {
    const sequences = [newest(40, relation.copies), newest(3, relation.copies)];
    runDecode({ ...decode, relation: derived(relation), sequences, store: "ring" });
    const prompts = [slice(29, relation.copies, 20), slice(7, relation.copies)];
    runPrefill({ ...prefill, relation: derived(relation), sequences: prompts, store: "scratch" });
  });
});
