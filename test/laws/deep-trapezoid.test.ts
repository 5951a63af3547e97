/** The trapezoid of a sliding window at the paper's depth: what prefill really stores, counted while kernels run. */
import { describe, expect, it, vi } from "vitest";
import { compileSource } from "../../src/compile.js";
import { AccessCounts } from "../../src/interpret/kernel/access-counts.js";
import type { AttentionSystem } from "../../src/passes/tokens/attention-system.js";
import { countRows } from "../../src/passes/tokens/row-set.js";
import type { Call } from "../../src/runtime/program.js";
import { liveByForce, prefillByForce, sightOf, steadyByForce } from "../unit/passes-tokens/brute-force.js";
import { type Base, blockOf, compileOptions, compileSmall, differenceAt, runOf, sourceOf } from "./small-models.js";

// Seconds of work each; machines that run the tests are often busy.
vi.setConfig({ testTimeout: 400_000 });

const layers = 16;
const copies = 3;
const window = 16;
const phdSwa = blockOf("phd-swa", { repeat: copies, window });

/** The paper's depth with widths that an interpreter can afford. */
const narrow: Base = {
  model_type: "llama",
  num_hidden_layers: layers,
  hidden_size: 4,
  num_attention_heads: 1,
  num_key_value_heads: 1,
  head_dim: 2,
  intermediate_size: 3,
  vocab_size: 7,
  tie_word_embeddings: true,
};

/** Rows with a key and a value, per layer. */
interface StoredRows {
  readonly originals: readonly number[];
  readonly hidden: readonly number[];
}

/** What brute force over all pairs of tokens finds for a prompt of n positions. */
function leastRows(system: AttentionSystem, n: number): StoredRows {
  const horizon = n + Math.ceil(window / (copies - 1)) + 1;
  const sight = sightOf(system, horizon);
  const steady = steadyByForce(system, sight, horizon);
  const plan = prefillByForce(system, sight, liveByForce(system, sight, steady, n), n, 0);
  const counted = (isMeant: (copy: number) => boolean) =>
    plan.map(({ kv }) => kv.filter((flag, index) => flag && isMeant((index % copies) + 1)).length);
  return { originals: counted((copy) => copy === 1), hidden: counted((copy) => copy > 1) };
}

/** Counts what the steps of a prefill write to the keys of each group, in vectors of one key head. */
class StoreCounter {
  private readonly counts = new Map<Call, AccessCounts>();

  readonly countOf = (call: Call): AccessCounts | undefined => {
    const sources = Object.values(call.bindings);
    // Moving keys between a ring and the scratch stores no row.
    const stores = sources.some(({ kind }) => kind === "keys") && !sources.some(({ kind }) => kind === "store");
    if (!stores || call.layer === undefined) return undefined;
    const counts = new AccessCounts();
    this.counts.set(call, counts);
    return counts;
  };

  /** Rows whose key and value were stored, given the bytes of both together. */
  rows(group: string, bytesPerRow: number): number[] {
    const perLayer = new Array<number>(layers).fill(0);
    for (const [{ bindings, layer }, counts] of this.counts) {
      const [name] =
        Object.entries(bindings).find(([, source]) => source.kind === "keys" && source.group === group) ?? [];
      if (name !== undefined && counts.buffers.includes(name))
        perLayer[layer!]! += counts.of(name).storedBytes / bytesPerRow;
    }
    return perLayer;
  }
}

/** Hidden rows of each layer: the same for every prompt that is longer than all windows together. */
const trapezoid = (n: number) =>
  Array.from({ length: layers }, (_, layer) => Math.min((layers - layer) * window + 1, n * (copies - 1)));

describe("PHD-SWA-3-16 with 16 layers", () => {
  const model = compileSmall(narrow, phdSwa);
  const { facts } = compileSource(sourceOf(narrow, phdSwa), compileOptions).program!;

  it.each([64, 128, 512])("stores the rows that brute force demands of a prompt of %i positions, and no other", (n) => {
    const ids = Array.from({ length: n }, (_, at) => (at * at * 3 + at * 5 + 1) % narrow.vocab_size);
    const counter = new StoreCounter();
    const run = runOf(model, { context: n, slice: n, countOf: counter.countOf });
    const [logits] = run.prefill([ids]);
    const bytesPerRow = 2 * narrow.num_key_value_heads * narrow.head_dim * 4;
    const stored = {
      originals: counter.rows("originals", bytesPerRow),
      hidden: counter.rows("hidden", bytesPerRow),
    };
    expect(stored).toEqual(leastRows(facts.system, n));
    // There are 2n hidden tokens; the widest layer asks for 257 of them.
    expect(stored.hidden).toEqual(trapezoid(n));
    expect(differenceAt(model.dense(ids), n - 1, logits!)).toBeLessThan(1e-4);
  });
});

describe("the paper's 550M as PHD-SWA-3-16", () => {
  const config = {
    ...{ model_type: "olmo2" as const, num_hidden_layers: layers, hidden_size: 1536, intermediate_size: 4096 },
    ...{ num_attention_heads: 16, num_key_value_heads: 4, head_dim: 96, vocab_size: 100278, tie_word_embeddings: true },
  };
  const { facts } = compileSource(sourceOf(config, phdSwa), compileOptions).program!;

  it("has the same hidden rows at 8192 positions, and at a million", () => {
    for (const n of [8192, 2 ** 20]) {
      const rows = facts.prefill.layers.map(({ kv }) => kv.map((set) => countRows(set, { n, start: 0 })));
      expect(rows).toEqual(trapezoid(n).map((hidden) => [n, hidden]));
    }
  });
});
