import { describe, expect, it } from "vitest";
import { AccessCounts, runKernel } from "../../src/interpret/kernel/run-kernel.js";
import type { Capabilities } from "../../src/ir/kernel/capabilities.js";
import type { Token } from "../../src/ir/relation/predicate.js";
import { decodeAttention } from "../../src/kernels/attention/decode.js";
import { mergePartials } from "../../src/kernels/attention/merge.js";
import { type AttentionOptions, mergePartialsWorkgroups, rowBlocks } from "../../src/kernels/attention/options.js";
import { prefillAttention } from "../../src/kernels/attention/prefill.js";
import { type AttentionCase, type Layout, layOut, type Sequence, scaleOf } from "./attention-reference.js";
import { dilated, evenPositions, lonely, naive, phd, phdCswa, phdSwa, vanilla } from "./attention-relations.js";
import { withoutSubgroups, withSubgroups } from "./linear-reference.js";

/**
 * Sums of at most a few hundred products in f32, weights from 2^x of rounded scores: errors stay near 1e-6 for values below 1. The
 * inputs of the reference are already rounded to the cache's type.
 */
const tolerance = 1e-5;

function optionsOf(test: AttentionCase, capabilities: Capabilities): AttentionOptions {
  const { heads, kvHeads, width, cache, tileRows, relation } = test;
  const { groups, parts, predicate } = relation;
  return { heads, kvHeads, width, scale: scaleOf(width), cache, groups, parts, predicate, tileRows, capabilities };
}

function keyBuffers(layout: Layout): Record<string, Float32Array | Uint16Array> {
  return Object.fromEntries(layout.keys.flatMap((data, g) => (data === undefined ? [] : [[`keys_${g}`, data]])));
}

interface Run {
  readonly capabilities?: Capabilities;
  readonly subgroupSize?: number;
  readonly splits?: number;
  readonly count?: AccessCounts;
}

function workgroupsOf(kernelOptions: AttentionOptions, layout: Layout, splits: number): [number, number, number] {
  return [layout.tileCount, kernelOptions.kvHeads * rowBlocks(kernelOptions).blocks, splits];
}

function runPrefill(test: AttentionCase, { capabilities = withoutSubgroups, subgroupSize = 32 }: Run = {}) {
  const layout = layOut(test);
  const options = optionsOf(test, capabilities);
  const attended = new Float32Array(layout.rows * test.heads * test.width).fill(Number.NaN);
  runKernel(prefillAttention(options), {
    buffers: { query: layout.query, ...keyBuffers(layout), attended, control: layout.control },
    params: layout.params,
    workgroups: workgroupsOf(options, layout, 1),
    subgroupSize,
    detectRaces: true,
  });
  compareRows(test, layout, attended);
}

function runDecode(test: AttentionCase, run: Run = {}) {
  const { capabilities = withoutSubgroups, subgroupSize = 32, splits = 3, count } = run;
  const layout = layOut(test);
  const options = optionsOf(test, capabilities);
  const { heads, width } = test;
  const values = new Float32Array(layout.rows * heads * splits * width).fill(Number.NaN);
  const stats = new Float32Array(layout.rows * heads * splits * 2).fill(Number.NaN);
  runKernel(decodeAttention(options), {
    buffers: {
      query: layout.query,
      ...keyBuffers(layout),
      partial_values: values,
      partial_stats: stats,
      control: layout.control,
    },
    params: { ...layout.params, splits },
    workgroups: workgroupsOf(options, layout, splits),
    subgroupSize,
    detectRaces: true,
    count,
  });
  const attended = new Float32Array(layout.rows * heads * width).fill(Number.NaN);
  const rowBase = layout.expected.findIndex((row) => row !== undefined);
  const rowCount = layout.rows - rowBase;
  const [x] = mergePartialsWorkgroups(test) as [number, string, number];
  runKernel(mergePartials({ heads, kvHeads: test.kvHeads, width, capabilities }), {
    buffers: { partial_values: values, partial_stats: stats, attended },
    params: { splits, row_base: rowBase, row_count: rowCount },
    workgroups: [x, rowCount, 1],
  });
  compareRows(test, layout, attended);
  return { layout, stats };
}

function compareRows({ heads, width }: AttentionCase, layout: Layout, attended: Float32Array) {
  layout.expected.forEach((expected, row) => {
    for (let i = 0; i < heads * width; i++) {
      const actual = attended[row * heads * width + i]!;
      // Rows that do not query keep what they held.
      if (expected === undefined) expect(actual).toBeNaN();
      else if (!(Math.abs(actual - expected[i]!) <= tolerance)) {
        expect.fail(`row ${row}, element ${i}: ${actual} instead of ${expected[i]}`);
      }
    }
  });
}

/** All copies of the newest position, as a decode step queries. */
const newest = (length: number, copies: number): Sequence => ({
  length,
  queries: Array.from({ length: copies }, (_, i) => ({ pos: length - 1, copy: i + 1 })),
});

/** Every copy of positions [from, length), as a slice of a prompt queries. */
const slice = (length: number, copies: number, from = 0): Sequence => ({
  length,
  queries: Array.from({ length: (length - from) * copies }, (_, i) => ({
    pos: from + Math.floor(i / copies),
    copy: (i % copies) + 1,
  })),
});

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
    const { stats } = runDecode({ ...decode, relation, sequences }, { splits });
    if (splits === 40) expect(stats).toContain(Math.fround(-1e30));
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
      const { layout } = runDecode(test, { splits: 2, count });
      layout.live.forEach((live, g) => {
        const { loadsOfElement } = count.of(`keys_${g}`);
        const lanes = width % 4 === 0 ? 4 : 2;
        loadsOfElement.forEach((loads, element) => {
          if (loads !== (live.has(element * lanes) ? 1 : 0))
            expect.fail(`group ${g}: ${loads} loads of element ${element}`);
        });
        expect(live.size).toBeGreaterThan(0);
      });
    }
  });
});

describe("prefill attention", () => {
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
