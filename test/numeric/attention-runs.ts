/** Attention kernels with everything they are bound to, ready for the interpreter or a device. */
import { expect } from "vitest";
import type { AccessCounts, BufferData } from "../../src/interpret/kernel/run-kernel.js";
import type { Capabilities } from "../../src/ir/kernel/capabilities.js";
import type { Kernel } from "../../src/ir/kernel/kernel.js";
import { decodeAttention } from "../../src/kernels/attention/decode.js";
import { matrixDecodeAttention } from "../../src/kernels/attention/matrix-decode.js";
import { matrixPrefillAttention } from "../../src/kernels/attention/matrix-prefill.js";
import { mergePartials } from "../../src/kernels/attention/merge.js";
import { type AttentionOptions, mergePartialsWorkgroups, rowBlocks } from "../../src/kernels/attention/options.js";
import { prefillAttention } from "../../src/kernels/attention/prefill.js";
import { type AttentionCase, type Layout, layOut, type Sequence, scaleOf } from "./attention-reference.js";

export interface PreparedRun {
  readonly kernel: Kernel;
  readonly buffers: Readonly<Record<string, BufferData>>;
  readonly params: Readonly<Record<string, number>>;
  readonly workgroups: readonly [number, number, number];
}

export interface Prepared {
  readonly layout: Layout;
  /** Kernels in order; the last one writes `attended`. */
  readonly runs: readonly PreparedRun[];
  /** Compares what the runs left with the reference. */
  check(): void;
}

/**
 * Sums of at most a few hundred products in f32, weights from 2^x of rounded scores: errors stay near 1e-6 for values below 1. The
 * inputs of the reference are already rounded to the cache's type.
 */
const tolerance = 1e-5;
/** Matrix units also take the weights of keys rounded, by half a unit in the last of 8 or 11 bits; values are below 1. */
const roundedTolerance = { f32: tolerance, f16: 2 ** -12 + tolerance, bf16: 2 ** -9 + tolerance } as const;

export function preparePrefill(test: AttentionCase, capabilities: Capabilities): Prepared {
  const layout = layOut(test);
  const options = optionsOf(test, capabilities);
  const attended = newRows(test, layout);
  const run: PreparedRun = {
    kernel: test.units === "matrix" ? matrixPrefillAttention(options) : prefillAttention(options),
    buffers: { query: layout.query, ...keyBuffers(test, layout), attended, control: layout.control },
    params: layout.params,
    workgroups: [layout.tileCount, test.kvHeads * rowBlocks(options).blocks, 1],
  };
  return { layout, runs: [run], check: () => compareRows(test, layout, attended) };
}

/** The attention of a decode step, and the merge of its splits. */
export function prepareDecode(test: AttentionCase, capabilities: Capabilities, splits: number): Prepared {
  const layout = layOut(test);
  const options = optionsOf(test, capabilities);
  const { heads, kvHeads, width } = test;
  const values = new Float32Array(layout.rows * heads * splits * width).fill(untouched);
  const stats = new Float32Array(layout.rows * heads * splits * 2).fill(untouched);
  const decode: PreparedRun = {
    kernel: test.units === "matrix" ? matrixDecodeAttention(options) : decodeAttention(options),
    buffers: {
      query: layout.query,
      ...keyBuffers(test, layout),
      partial_values: values,
      partial_stats: stats,
      control: layout.control,
    },
    params: { ...layout.params, splits },
    workgroups: [layout.tileCount, kvHeads * rowBlocks(options).blocks, splits],
  };
  const attended = newRows(test, layout);
  const rowBase = layout.expected.findIndex((row) => row !== undefined);
  const rowCount = layout.rows - rowBase;
  const merge: PreparedRun = {
    kernel: mergePartials({ heads, kvHeads, width, capabilities }),
    buffers: { partial_values: values, partial_stats: stats, attended },
    params: { splits, row_base: rowBase, row_count: rowCount },
    workgroups: [mergePartialsWorkgroups(test)[0] as number, rowCount, 1],
  };
  return { layout, runs: [decode, merge], check: () => compareRows(test, layout, attended) };
}

function optionsOf(test: AttentionCase, capabilities: Capabilities): AttentionOptions {
  const { heads, kvHeads, width, cache, tileRows, relation } = test;
  const { groups, parts, predicate } = relation;
  return { heads, kvHeads, width, scale: scaleOf(width), cache, groups, parts, predicate, tileRows, capabilities };
}

function keyBuffers({ units, width }: AttentionCase, layout: Layout): Record<string, BufferData> {
  const inWords = units === "matrix" && width % 2 === 0;
  return Object.fromEntries(
    layout.keys.flatMap((data, g) =>
      data === undefined ? [] : [[`keys_${g}`, inWords ? new Uint32Array(data.buffer) : data]],
    ),
  );
}

/** What the elements hold that a kernel must not write. */
const untouched = 12345;

const newRows = ({ heads, width }: AttentionCase, layout: Layout) =>
  new Float32Array(layout.rows * heads * width).fill(untouched);

function compareRows({ heads, width, cache, units }: AttentionCase, layout: Layout, attended: Float32Array) {
  const allowed = units === "matrix" ? roundedTolerance[cache] : tolerance;
  layout.expected.forEach((expected, row) => {
    for (let i = 0; i < heads * width; i++) {
      const actual = attended[row * heads * width + i]!;
      const wanted = expected === undefined ? untouched : expected[i]!;
      if (!(Math.abs(actual - wanted) <= allowed)) {
        expect.fail(`row ${row}, element ${i}: ${actual} instead of ${wanted}`);
      }
    }
  });
}

/** All copies of the newest position, as a decode step queries. */
export const newest = (length: number, copies: number): Sequence => ({
  length,
  queries: Array.from({ length: copies }, (_, i) => ({ pos: length - 1, copy: i + 1 })),
});

/** Every copy of positions [from, length), as a slice of a prompt queries. */
export const slice = (length: number, copies: number, from = 0): Sequence => ({
  length,
  queries: Array.from({ length: (length - from) * copies }, (_, i) => ({
    pos: from + Math.floor(i / copies),
    copy: (i % copies) + 1,
  })),
});

/** Every element of a store that holds live keys or values is loaded once, and no other. `lanes` components make an element. */
export function expectLiveKeysOnce({ layout }: Prepared, count: AccessCounts, lanes: number): void {
  for (const [group, live] of layout.live.entries()) {
    expect(live.size).toBeGreaterThan(0);
    for (const [element, loads] of count.of(`keys_${group}`).loadsOfElement.entries()) {
      const wanted = live.has(element * lanes) ? 1 : 0;
      if (loads !== wanted) expect.fail(`group ${group}: ${loads} loads of element ${element}`);
    }
  }
}
