/** Decode attention that finishes queries and keys itself, against the kernels that do it in two steps. */
import { describe, expect, it } from "vitest";
import { cudaCapabilities } from "../../src/backends/cuda/capabilities.js";
import { AccessCounts, type BufferData, runKernel } from "../../src/interpret/kernel/run-kernel.js";
import type { Capabilities } from "../../src/ir/kernel/capabilities.js";
import { decodeAttention } from "../../src/kernels/attention/decode.js";
import { matrixDecodeAttention } from "../../src/kernels/attention/matrix-decode.js";
import { type FreshHeads, rowBlocks } from "../../src/kernels/attention/options.js";
import type { HeadColumns } from "../../src/kernels/elementwise/head-columns.js";
import { headsOf, storeKeys } from "../../src/kernels/elementwise/store-keys.js";
import {
  type AttentionCase,
  type Layout,
  layOut,
  type Relation,
  type Sequence,
  scaleOf,
} from "./attention-reference.js";
import { dilated, evenPositions, naive, phd, phdCswa, phdSwa, vanilla } from "./attention-relations.js";
import { randomFloats, withoutSubgroups, withSubgroups } from "./linear-reference.js";

interface Finishing {
  readonly norm?: "head" | "row";
  readonly rotates?: "by position" | "by position and copy";
  /** Whether queries, keys and values come from one product, side by side, or from three. */
  readonly products?: 1 | 3;
  /** Copies in the order of the table. */
  readonly order?: readonly number[];
  /** How many of them query, from the end; all unless given. */
  readonly querying?: number;
  /** Groups that keep keys for later steps; all that are seen unless given. */
  readonly kept?: readonly number[];
  readonly splits?: number;
  readonly capabilities?: Capabilities;
  /** Attention on matrix units. */
  readonly units?: "matrix";
  readonly count?: AccessCounts;
}

type Shape = Pick<AttentionCase, "heads" | "kvHeads" | "width" | "cache" | "tileRows">;

const shape: Shape = { heads: 4, kvHeads: 2, width: 8, cache: "f32", tileRows: 16 };
// Two norms of one row differ in the order of their sums.
const tolerance = 1e-5;
/** On matrix units a sum in another order may also round a half of a normed head the other way, by one unit in the last of 11 or 8 bits. */
const roundedOtherwise = {
  f32: { relative: tolerance, halves: 0 },
  f16: { relative: 2 ** -10, halves: 1 },
  bf16: { relative: 2 ** -7, halves: 1 },
} as const;
const untouched = 12345;

/** Runs both ways over the newest position of sequences of some lengths; gives the buffers of the single kernel. */
function compare(
  relation: Relation,
  lengths: readonly number[],
  how: Finishing = {},
  of: Partial<Shape> = {},
  store: AttentionCase["store"] = "ring",
) {
  const { heads, kvHeads, width, cache, tileRows } = { ...shape, ...of };
  const { copies, groups, parts, predicate } = relation;
  const { splits = 3, units } = how;
  const { capabilities = units === "matrix" ? cudaCapabilities : withoutSubgroups } = how;
  const attend = units === "matrix" ? matrixDecodeAttention : decodeAttention;
  const order = how.order ?? Array.from({ length: copies }, (_, index) => index + 1);
  const querying = how.querying ?? copies;
  const sequences = lengths.map((length): Sequence => {
    const tokens = order.map((copy) => ({ pos: length - 1, copy }));
    return { length, silent: tokens.slice(0, copies - querying), queries: tokens.slice(copies - querying) };
  });
  const test: AttentionCase = {
    relation,
    heads,
    kvHeads,
    width,
    cache,
    tileRows,
    sequences,
    store,
    order: "decode",
    idleRows: 0,
  };
  const layout = layOut(test);
  const seen = groups.flatMap((_, group) => (parts[group]!.density === "empty" ? [] : [group]));
  const columns = columnsOf(test, how);
  const sources = columns.sources.map((stride, index) => randomFloats(30 + index, layout.rows * stride, 2));
  const inputs: Record<string, BufferData> = {
    control: layout.control,
    ...Object.fromEntries(sources.map((source, index) => [`source_${index}`, source])),
    ...(how.norm && { norm_weights: randomFloats(40, columns.gains) }),
    ...(how.rotates && { pos_angles: angles(Math.max(...lengths), width / 2, 1) }),
    ...(how.rotates === "by position and copy" && { copy_angles: angles(copies, width / 2, 0.3) }),
  };
  const copyAngles = how.rotates === "by position and copy";
  const { query, key, value } = columns;

  // In two steps: every key goes through its store.
  const stored = keyBuffers(layout, seen);
  const queries = new Float32Array(layout.rows * heads * width);
  const members = seen.map((group) => ({
    group,
    firstCopy: groups[group]!.firstCopy,
    lastCopy: groups[group]!.lastCopy,
  }));
  const storing = {
    ...{ sources: columns.sources, heads, kvHeads, width, query, copies, copyAngles, capabilities },
    keys: { key, value, element: cache, groups: members },
  } as const;
  const { rows_at, sequences_at, sequence_stride, batch } = layout.params as Record<string, number>;
  const table = { rows_at: rows_at!, sequences_at: sequences_at!, sequence_stride: sequence_stride!, batch: batch! };
  const rowBase = (copies - querying) * lengths.length;
  const attention = {
    heads,
    kvHeads,
    width,
    scale: scaleOf(width),
    cache,
    groups,
    parts,
    predicate,
    tileRows,
    capabilities,
  };
  runKernel(storeKeys(storing), {
    buffers: { ...inputs, queries, ...stored },
    params: { ...table, ...slotsOf(layout, seen), row_base: 0, row_count: layout.rows },
    workgroups: [headsOf(storing), layout.rows, 1],
  });
  const expected = partials(layout, test, splits);
  const workgroups = [layout.tileCount, kvHeads * rowBlocks(attention).blocks, splits] as const;
  runKernel(attend(attention), {
    buffers: { query: queries, ...bound(stored, how, width), ...expected, control: layout.control },
    params: { ...layout.params, splits },
    workgroups,
  });

  // In one: the stores hold older keys only, and whatever else stands in them is NaN.
  const kept = how.kept ?? seen;
  const fresh: FreshHeads = { sources: columns.sources, query, key, value, copyAngles, order, entering: copies, kept };
  const own = keyBuffers(layout, kept);
  for (const group of kept) forgetNewest(own[`keys_${group}`]!, stored[`keys_${group}`]!, layout, test, group);
  const actual = partials(layout, test, splits);
  const kernel = attend({ ...attention, fresh });
  const params: Record<string, number> = {
    ...table,
    ...slotsOf(layout, kept),
    splits,
    tiles_at: layout.params["tiles_at"]!,
    tile_base: 1,
    row_base: rowBase,
  };
  runKernel(kernel, {
    buffers: { ...inputs, ...bound(own, how, width), ...actual },
    params: Object.fromEntries(kernel.params.map(({ name }) => [name, params[name]!])),
    workgroups,
    detectRaces: true,
    ...(how.count && { count: how.count }),
  });
  const allowed = units === "matrix" && how.norm ? roundedOtherwise[cache] : { relative: tolerance, halves: 0 };
  expectClose(actual.partial_stats, expected.partial_stats, "statistics", allowed.relative);
  expectClose(actual.partial_values, expected.partial_values, "values", allowed.relative);
  for (const group of kept) {
    const [actualKeys, expectedKeys] = [own, stored].map((buffers) => buffers[`keys_${group}`]!);
    if (actualKeys instanceof Uint16Array) {
      expectEqualBits(actualKeys, expectedKeys as Uint16Array, `group ${group}`, allowed.halves);
    } else expectClose(actualKeys!, expectedKeys as Float32Array, `group ${group}`, tolerance);
  }
  return { layout, kernel };
}

function columnsOf({ heads, kvHeads, width }: AttentionCase, { norm, rotates, products = 1 }: Finishing) {
  const sizes = [heads * width, kvHeads * width, kvHeads * width] as const;
  const [queries, keys, values] = sizes;
  const gainsOf = (size: number) => (norm === "row" ? size : width);
  const column = (index: number, offset: number) =>
    products === 1 ? { source: 0, offset } : { source: index, offset: 0 };
  const finished = (index: number, offset: number, weightAt: number): HeadColumns => ({
    ...column(index, offset),
    rotate: rotates !== undefined,
    ...(norm && { norm: { epsilon: 1e-5, over: norm, weightAt } }),
  });
  return {
    sources: products === 1 ? [queries + keys + values] : sizes,
    query: finished(0, 0, 0),
    key: finished(1, queries, gainsOf(queries)),
    value: column(2, queries + keys),
    gains: gainsOf(queries) + gainsOf(keys),
  };
}

function angles(rows: number, half: number, step: number): Float32Array {
  return Float32Array.from({ length: rows * half * 2 }, (_, index) => {
    const [row, pair] = [Math.floor(index / (2 * half)), Math.floor(index / 2) % half];
    const angle = row * step * 0.7 ** pair;
    return index % 2 === 0 ? Math.cos(angle) : Math.sin(angle);
  });
}

const keyBuffers = (layout: Layout, groups: readonly number[]): Record<string, Float32Array | Uint16Array> =>
  Object.fromEntries(groups.map((group) => [`keys_${group}`, layout.keys[group]!.slice()]));

const slotsOf = ({ params }: Layout, groups: readonly number[]): Record<string, number> =>
  Object.fromEntries(groups.map((group) => [`slots_${group}`, params[`slots_${group}`]!]));

function partials(layout: Layout, { heads, width }: AttentionCase, splits: number) {
  const places = layout.rows * heads * splits;
  return {
    partial_values: new Float32Array(places * width).fill(untouched),
    partial_stats: new Float32Array(places * 2).fill(untouched),
  };
}

/** Puts NaN where the newest keys will stand, and expects them to be written again. */
function forgetNewest(
  own: Float32Array | Uint16Array,
  stored: Float32Array | Uint16Array,
  layout: Layout,
  test: AttentionCase,
  group: number,
): void {
  const { firstCopy, lastCopy } = test.relation.groups[group]!;
  const copies = lastCopy - firstCopy + 1;
  const kvWidth = test.kvHeads * test.width;
  const slots = layout.params[`slots_${group}`]!;
  for (const [sequence, { length }] of test.sequences.entries()) {
    for (let index = (length - 1) * copies; index < length * copies; index++) {
      for (const row of [sequence, sequence + test.sequences.length]) {
        const start = (row * slots + (index % slots)) * kvWidth;
        expect(numbers(stored.subarray(start, start + kvWidth)).some(Number.isNaN)).toBe(false);
        own.fill(own instanceof Uint16Array ? 0x7e00 : Number.NaN, start, start + kvWidth);
      }
    }
  }
}

/** The same stores as words, where the kernel binds them so. */
const bound = (stores: Readonly<Record<string, Float32Array | Uint16Array>>, { units }: Finishing, width: number) =>
  Object.fromEntries(
    Object.entries(stores).map(([name, data]) => [
      name,
      units === "matrix" && width % 2 === 0 ? new Uint32Array(data.buffer) : data,
    ]),
  );

const numbers = (data: Float32Array | Uint16Array): number[] =>
  Array.from(data, (value) => (data instanceof Uint16Array && value === 0x7e00 ? Number.NaN : value));

/** Equal halves have equal bits, and neighbours are 1 apart. */
function expectEqualBits(actual: Uint16Array, expected: Uint16Array, what: string, apart: number): void {
  for (let i = 0; i < expected.length; i++) {
    if (Math.abs(actual[i]! - expected[i]!) > apart)
      expect.fail(`${what}: half ${i} is ${actual[i]} instead of ${expected[i]}`);
  }
}

function expectClose(actual: ArrayLike<number>, expected: ArrayLike<number>, what: string, relative: number): void {
  for (let i = 0; i < expected.length; i++) {
    const [own, wanted] = [actual[i]!, expected[i]!];
    const close = Math.abs(own - wanted) <= relative * Math.max(1, Math.abs(wanted));
    if (!close && !(Number.isNaN(own) && Number.isNaN(wanted)))
      expect.fail(`${what}: element ${i} is ${own} instead of ${wanted}`);
  }
}

describe("decode attention that finishes queries and keys", () => {
  const lengths = [1, 7, 33, 40];

  it.each([vanilla, naive(3), phd(5), phdSwa(3, 1), phdCswa(3, 16, 8), dilated(3, 3, 12), evenPositions(2)])(
    "agrees with finishing and storing them first: $name",
    (relation) => {
      for (const store of ["forever", "ring"] as const)
        compare(relation, lengths, { rotates: "by position" }, {}, store);
    },
  );

  it.each([undefined, "head", "row"] as const)("norms over: %s", (norm) => {
    const relation = phdCswa(3, 4, 5);
    compare(relation, lengths, { ...(norm && { norm }), rotates: "by position and copy" });
    compare(relation, lengths, { ...(norm && { norm }), products: 3 });
    compare(relation, lengths, { ...(norm && { norm }), rotates: "by position" }, { width: 64, heads: 8 });
  });

  it.each([2, 4, 6, 10, 12, 20, 24, 128])("turns heads of width %i", (width) => {
    compare(phdSwa(2, 5), [9, 3], { norm: "head", rotates: "by position", products: 3 }, { width });
  });

  it("handles odd widths, which nothing turns", () => {
    compare(phdSwa(2, 5), [9, 3], { norm: "row" }, { width: 5 });
  });

  it("rounds the step's keys as the store does", () => {
    for (const capabilities of [withSubgroups]) {
      compare(phdCswa(3, 4, 5), lengths, { rotates: "by position", capabilities }, { cache: "f16" });
    }
  });

  it.each([1, 2, 3, 5, 16, 70])("serves K = %i copies", (copies) => {
    for (const tileRows of [32, 7])
      compare(phdSwa(copies, 2 * copies), [9, 4], { norm: "head", rotates: "by position" }, { tileRows });
  });

  it("cuts tiles that have more query rows than a workgroup takes", () => {
    compare(phd(3), [21, 3], { norm: "head", rotates: "by position" }, { heads: 71, kvHeads: 1 });
    compare(phd(3), [21, 3], { norm: "row", rotates: "by position" }, { heads: 46, kvHeads: 2 });
  });

  it.each([1, 2, 7, 40])("stores each key once where %i splits share the keys", (splits) => {
    compare(phdSwa(2, 16), [150, 2], { rotates: "by position", splits });
  });

  it("finds the rows of copies in any order of the table, also where few of them query", () => {
    compare(phdSwa(4, 7), lengths, { rotates: "by position", order: [2, 4, 1, 3] });
    compare(phdSwa(4, 7), lengths, { rotates: "by position", querying: 1 }, {}, "forever");
    compare(
      phdSwa(4, 7),
      lengths,
      { rotates: "by position", order: [3, 1, 2, 4], querying: 2, norm: "row" },
      { tileRows: 1 },
      "forever",
    );
  });

  it("needs no store for groups of which nothing outlives the step", () => {
    const { kernel } = compare(phd(4), lengths, { rotates: "by position", kept: [0] });
    expect(kernel.buffers.map(({ name }) => name)).not.toContain("keys_1");
  });

  it.each([1, 2, 3, 8, 16])(
    "reads each older key and value once, and the step's own from the product: K = %i",
    (copies) => {
      const count = new AccessCounts();
      const relation = phdCswa(copies, 16, 32);
      const { layout } = compare(
        relation,
        [75, 9],
        { rotates: "by position", splits: 4, count },
        { heads: 8, width: 16 },
      );
      for (const [group, live] of layout.live.entries()) {
        const { firstCopy, lastCopy } = relation.groups[group]!;
        const slots = layout.params[`slots_${group}`]!;
        const newest = [75, 9].map((length) => {
          const of = lastCopy - firstCopy + 1;
          return new Set(Array.from({ length: of }, (_, own) => ((length - 1) * of + own) % slots));
        });
        const kvWidth = 2 * 16;
        count.of(`keys_${group}`).loadsOfElement.forEach((loads, vector) => {
          const row = Math.floor((4 * vector) / kvWidth);
          const own = newest[Math.floor(row / slots) % 2]!.has(row % slots);
          expect(loads, `group ${group}, vector ${vector}`).toBe(live.has(4 * vector) && !own ? 1 : 0);
        });
      }
    },
  );
});

describe("decode attention on matrix units that finishes queries and keys", () => {
  const lengths = [1, 7, 33, 40];
  const units = "matrix";
  const halves = { cache: "f16", width: 16 } as const;

  it.each([vanilla, naive(3), phd(5), phdSwa(3, 1), phdCswa(3, 16, 8), dilated(3, 3, 12), evenPositions(2)])(
    "agrees with finishing and storing them first: $name",
    (relation) => {
      for (const store of ["forever", "ring"] as const)
        compare(relation, lengths, { rotates: "by position", units }, halves, store);
    },
  );

  it.each(["f16", "bf16"] as const)("norms over heads and over rows, in %s", (cache) => {
    for (const norm of ["head", "row"] as const) {
      const relation = phdCswa(3, 4, 5);
      compare(relation, lengths, { norm, rotates: "by position and copy", units }, { ...halves, cache });
      compare(relation, lengths, { norm, products: 3, units }, { ...halves, cache });
      compare(relation, lengths, { norm, rotates: "by position", units }, { cache, width: 64, heads: 8 });
    }
  });

  it.each([2, 4, 6, 8, 10, 12, 20, 24, 96, 112, 128])("turns heads of width %i", (width) => {
    compare(phdSwa(2, 5), [9, 3], { rotates: "by position", products: 3, units }, { cache: "bf16", width });
    compare(phdSwa(2, 5), [9, 3], { norm: "head", rotates: "by position", units }, { cache: "f16", width });
  });

  it("handles odd widths, which nothing turns", () => {
    compare(phdSwa(2, 5), [9, 3], { norm: "row", units }, { cache: "f16", width: 5 });
  });

  it.each([1, 2, 3, 5, 16, 70])("serves K = %i copies", (copies) => {
    for (const tileRows of [32, 7])
      compare(phdSwa(copies, 2 * copies), [9, 4], { rotates: "by position", units }, { ...halves, tileRows });
  });

  it("cuts tiles that have more query rows than a workgroup takes", () => {
    compare(phd(3), [21, 3], { rotates: "by position", units }, { ...halves, heads: 71, kvHeads: 1 });
    compare(phd(3), [21, 3], { norm: "row", rotates: "by position", units }, { ...halves, heads: 46 });
  });

  it.each([1, 2, 7, 40])("stores each key once where %i splits share the keys", (splits) => {
    compare(phdSwa(2, 16), [150, 2], { rotates: "by position", splits, units }, halves);
  });

  it("finds the rows of copies in any order of the table, also where few of them query", () => {
    compare(phdSwa(4, 7), lengths, { rotates: "by position", order: [2, 4, 1, 3], units }, halves);
    compare(phdSwa(4, 7), lengths, { rotates: "by position", querying: 1, units }, halves, "forever");
    const some = { rotates: "by position", order: [3, 1, 2, 4], querying: 2, norm: "row", units } as const;
    compare(phdSwa(4, 7), lengths, some, { ...halves, tileRows: 1 }, "forever");
  });

  it("needs no store for groups of which nothing outlives the step", () => {
    const { kernel } = compare(phd(4), lengths, { rotates: "by position", kept: [0], units }, halves);
    expect(kernel.buffers.map(({ name }) => name)).not.toContain("keys_1");
    compare(phd(70), [3, 9], { rotates: "by position", kept: [0], units }, halves);
  });

  it.each([1, 3, 16])("reads each older key and value once, and the step's own from the product: K = %i", (copies) => {
    const count = new AccessCounts();
    const relation = phdCswa(copies, 16, 32);
    const sequences = [75, 9];
    const how = { rotates: "by position", splits: 4, count, units } as const;
    const { layout } = compare(relation, sequences, how, { ...halves, heads: 8 });
    for (const [group, live] of layout.live.entries()) {
      const { firstCopy, lastCopy } = relation.groups[group]!;
      const of = lastCopy - firstCopy + 1;
      const slots = layout.params[`slots_${group}`]!;
      const loads = count.of(`keys_${group}`).loadsOfElement;
      const newest = sequences.map(
        (length) => new Set(Array.from({ length: of }, (_, own) => ((length - 1) * of + own) % slots)),
      );
      const kvWidth = 2 * halves.width;
      for (const [word, loaded] of loads.entries()) {
        const row = Math.floor((8 * word) / kvWidth);
        const own = newest[Math.floor(row / slots) % 2]!.has(row % slots);
        expect(loaded, `group ${group}, word ${word}`).toBe(live.has(8 * word) && !own ? 1 : 0);
      }
    }
  });
});
