import { describe, expect, it } from "vitest";
import { cudaCapabilities } from "../../src/backends/cuda/capabilities.js";
import { AccessCounts, runKernel } from "../../src/interpret/kernel/run-kernel.js";
import type { Token } from "../../src/ir/relation/predicate.js";
import type { AttentionCase } from "./attention-reference.js";
import { dilated, evenPositions, lonely, naive, phd, phdCswa, phdSwa, vanilla } from "./attention-relations.js";
import { expectLiveKeysOnce, newest, type Prepared, prepareDecode, preparePrefill, slice } from "./attention-runs.js";

function interpret(prepared: Prepared, count?: AccessCounts): Prepared {
  for (const { kernel, ...run } of prepared.runs) {
    runKernel(kernel, { ...run, detectRaces: true, ...(count !== undefined && { count }) });
  }
  prepared.check();
  return prepared;
}

const runPrefill = (test: AttentionCase, count?: AccessCounts) =>
  interpret(preparePrefill(test, cudaCapabilities), count);
const runDecode = (test: AttentionCase, splits = 3, count?: AccessCounts) =>
  interpret(prepareDecode(test, cudaCapabilities, splits), count);

const shape = { heads: 4, kvHeads: 2, width: 8, cache: "bf16", units: "matrix" } as const;
const decode = { ...shape, order: "decode", store: "forever", tileRows: 16 } as const;
const prefill = { ...shape, order: "prefill", store: "forever", tileRows: 16 } as const;

const relations = [
  vanilla,
  naive(3),
  phd(2),
  phdSwa(2, 16),
  phdSwa(5, 7),
  phdCswa(3, 16, 8),
  phdCswa(2, 4, 5),
  dilated(3, 3, 12),
  evenPositions(2),
  lonely(3),
];

describe("decode attention on matrix units", () => {
  it.each(relations)("gives all copies of $name what they see, in sequences of different lengths", (relation) => {
    const sequences = [1, 33, 70].map((length) => newest(length, relation.copies));
    for (const store of ["forever", "ring"] as const) runDecode({ ...decode, relation, sequences, store });
  });

  it.each([8, 16, 24, 40, 64, 96, 128, 5, 6])("handles heads of width %i", (width) => {
    const relation = phdCswa(3, 16, 32);
    const sequences = [newest(38, 3), newest(5, 3)];
    for (const cache of ["bf16", "f16"] as const) runDecode({ ...decode, relation, sequences, width, cache });
  });

  it.each([1, 2, 5, 16, 70])("handles K = %i copies", (copies) => {
    const relation = phdSwa(copies, 2 * copies);
    const sequences = [newest(9, copies), newest(4, copies)];
    for (const tileRows of [32, 7]) runDecode({ ...decode, relation, sequences, tileRows });
  });

  it("cuts tiles that have more query rows than a workgroup takes", () => {
    const test = { ...decode, relation: phd(3), sequences: [newest(21, 3), newest(3, 3)] };
    runDecode({ ...test, heads: 71, kvHeads: 1 });
    runDecode({ ...test, heads: 34, kvHeads: 1, tileRows: 4 });
  });

  it.each([1, 2, 7, 40])("divides the keys among %i splits, some of them without any", (splits) => {
    const relation = phdSwa(2, 16);
    const sequences = [newest(150, 2), newest(2, 2)];
    const { runs } = runDecode({ ...decode, relation, sequences }, splits);
    if (splits === 40) expect(runs[0]!.buffers["partial_stats"]).toContain(Math.fround(-1e30));
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
      expectLiveKeysOnce(runDecode(test, 2, count), count, width % 8 === 0 ? 8 : 2);
    }
  });
});

describe("prefill attention on matrix units", () => {
  it.each(relations)("gives every token of $name what it sees, in prompts of different lengths", (relation) => {
    const sequences = [1, 6, 21].map((length) => slice(length, relation.copies));
    runPrefill({ ...prefill, relation, sequences });
    // A slice that continues a prompt, over keys that lie in a scratch.
    const later = [slice(29, relation.copies, 20), slice(9, relation.copies, 8)];
    runPrefill({ ...prefill, relation, sequences: later, store: "scratch" });
  });

  it.each([8, 16, 24, 40, 64, 96, 128, 5, 6])("handles heads of width %i", (width) => {
    const relation = phdCswa(2, 16, 8);
    const sequences = [slice(19, 2), slice(3, 2)];
    for (const cache of ["bf16", "f16"] as const) runPrefill({ ...prefill, relation, sequences, width, cache });
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
    for (const tileRows of [1, 3, 32]) {
      runPrefill({ ...prefill, relation, sequences: [{ length: 24, queries }], tileRows, store: "scratch" });
    }
  });

  it("takes long prompts through tiles that need no mask", () => {
    const sequences = [slice(170, 1, 120), slice(90, 1, 70)];
    runPrefill({ ...prefill, relation: vanilla, sequences, heads: 2, kvHeads: 1, width: 16, tileRows: 32 });
  });

  it("cuts tiles that have more query rows than a workgroup takes", () => {
    const test = { ...prefill, relation: phd(2), sequences: [slice(11, 2), slice(4, 2)] };
    runPrefill({ ...test, heads: 12, kvHeads: 1, tileRows: 16 });
    runPrefill({ ...test, heads: 71, kvHeads: 1, tileRows: 1, width: 4 });
  });
});
