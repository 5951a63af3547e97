/** One small model under everything that may vary beside it: element types, subgroups, batches, splits of weights, poison. */
import { describe, expect, it } from "vitest";
import { denseForward } from "../../src/interpret/graph/dense.js";
import type { WeightSource } from "../../src/interpret/graph/weights.js";
import { AccessCounts } from "../../src/interpret/kernel/access-counts.js";
import { ManifestRun, type ManifestRunOptions } from "../../src/interpret/kernel/run-manifest.js";
import { type Capabilities, portableCapabilities } from "../../src/ir/kernel/capabilities.js";
import { runPasses } from "../../src/passes/pass.js";
import { repeatTokens } from "../../src/passes/tokens/repeat-tokens.js";
import { predicateOf } from "../support/predicates.js";
import { type ScheduledModel, scheduleGraph } from "../support/scheduled.js";
import { buildTransformer, randomWeights, type TransformerShape } from "../support/transformer.js";

/** Odd sizes: no dimension is a multiple of a tile, heads of 6, an FFN of 21. */
const shape: TransformerShape = {
  ...{ vocab: 37, layers: 3, dim: 20, heads: 4, kvHeads: 2, headDim: 6, ffn: 21, copies: 3 },
  predicate: predicateOf({ variant: "phd-cswa", copies: 3, window: 4, chunk: 5 }),
};
const graph = buildTransformer(shape);
const weights = randomWeights(graph);
const ids = Array.from({ length: 16 }, (_, index) => (index * 11 + 5) % shape.vocab);
const dense = denseForward(runPasses([repeatTokens], graph), weights, ids);
const denseAt = (position: number) => dense.subarray(position * shape.vocab, (position + 1) * shape.vocab);

// The interpreter rounds as an f32 device does; sums have at most a few dozen terms.
const tolerance = 1e-4;

function valuesOf(source: WeightSource) {
  return (tensor: string) => source(tensor).data;
}

function runOf(model: ScheduledModel, options: Partial<ManifestRunOptions> = {}): ManifestRun {
  return new ManifestRun(model.manifest, model.kernels, valuesOf(weights), { context: 16, splits: 2, ...options });
}

function largestDifference(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let worst = 0;
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs(actual[i]! - expected[i]!);
    if (!(difference <= worst)) worst = difference;
  }
  return worst;
}

/** Prefills some tokens, feeds the rest one by one, and gives the greatest difference from the dense forward pass. */
function worstOf(run: ManifestRun, prompt = 7): number {
  let worst = largestDifference(run.prefill([ids.slice(0, prompt)])[0]!, denseAt(prompt - 1));
  for (let at = prompt; at < ids.length; at++) {
    worst = Math.max(worst, largestDifference(run.decode([ids[at]!])[0]!, denseAt(at)));
  }
  return worst;
}

const f16: Capabilities = { ...portableCapabilities, f16: true };
const subgroups: Capabilities = { ...f16, subgroups: { minSize: 4, maxSize: 32 } };

describe("a scheduled model", () => {
  it("agrees with the dense forward pass wherever the prompt ends", () => {
    const model = scheduleGraph(graph);
    for (const prompt of [1, 5, 6, 16]) expect(worstOf(runOf(model), prompt)).toBeLessThan(tolerance);
  });

  it.each([4, 32])("agrees with subgroups of %i", (subgroupSize) => {
    const model = scheduleGraph(graph, { capabilities: subgroups });
    expect(model.manifest.requires.features).toEqual(["subgroups"]);
    expect(worstOf(runOf(model, { subgroupSize }))).toBeLessThan(tolerance);
  });

  it.each([
    ["workgroup memory", f16],
    ["subgroups", subgroups],
  ] as const)("agrees with f16 weights and keys, with %s", (_, capabilities) => {
    const model = scheduleGraph(graph, { dtype: "f16", capabilities });
    expect(model.manifest.requires.features).toContain("shader-f16");
    // Weights and keys have 11 bits, and errors add up over three layers.
    expect(worstOf(runOf(model))).toBeLessThan(model.manifest.tolerance);
  });

  it("merges the splits of attention by itself where rows are many", () => {
    const model = scheduleGraph(graph);
    const run = (splits: number, batch: number) => {
      const kernels = new Set<string>();
      const countOf = ({ kernel }: { kernel: string }) => void kernels.add(kernel);
      const options = { context: 16, splits, batch, countOf };
      const device = new ManifestRun(model.manifest, model.kernels, valuesOf(weights), options);
      device.prefill(Array.from({ length: batch }, () => ids.slice(0, 3)));
      kernels.clear();
      const [first] = device.decode(Array.from({ length: batch }, () => ids[3]!));
      expect(largestDifference(first!, denseAt(3))).toBeLessThan(tolerance);
      return [...kernels].some((kernel) => kernel.startsWith("merge_partials"));
    };
    expect(run(2, 1)).toBe(false);
    expect(run(16, 4)).toBe(true);
  });

  it.each([8, 10])(
    "finishes keys in attention where a kernel may bind %i buffers and that is enough",
    (maxStorageBuffers) => {
      // Sources, gains, two tables of angles, two stores, partial results and control words: nine.
      const many = buildTransformer({ ...shape, queryKeyNorm: "head", positions: "interleaved" });
      const own = randomWeights(many);
      const expected = denseForward(runPasses([repeatTokens], many), own, ids);
      const limits = { ...portableCapabilities.limits, maxStorageBuffers };
      const model = scheduleGraph(many, { capabilities: { ...portableCapabilities, limits } });
      const kernels = new Set<string>();
      let inLayer = 0;
      const device = new ManifestRun(model.manifest, model.kernels, valuesOf(own), {
        ...{ context: 16, splits: 2, batch: 2, poison: 1e30 },
        countOf: ({ kernel, layer }) => {
          kernels.add(kernel);
          if (layer === 0) inLayer++;
          return undefined;
        },
      });
      device.prefill([ids.slice(0, 6), ids.slice(0, 6)]);
      kernels.clear();
      for (const position of [6, 7]) {
        inLayer = 0;
        const [logits] = device.decode([ids[position]!, ids[position]!]);
        const at = expected.subarray(position * shape.vocab, (position + 1) * shape.vocab);
        expect(largestDifference(logits!, at)).toBeLessThan(tolerance);
        // Six rows: their splits are merged by themselves where a dispatch is left for that.
        expect(inLayer).toBe(6);
      }
      expect([...kernels].some((kernel) => kernel.startsWith("finish_queries_store_keys"))).toBe(maxStorageBuffers < 9);
    },
  );

  it.each([1, 2, 6, 12])("leaves norms behind products to the product that follows, for %i sequences", (batch) => {
    const behind = buildTransformer({ ...shape, postNorm: true, queryKeyNorm: "row" });
    const own = randomWeights(behind);
    const expected = denseForward(runPasses([repeatTokens], behind), own, ids);
    const model = scheduleGraph(behind);
    const perLayer = new Map<number | undefined, number>();
    const device = new ManifestRun(model.manifest, model.kernels, valuesOf(own), {
      ...{ context: 16, splits: 2, batch, poison: 1e30, detectRaces: true },
      countOf: ({ layer }) => void perLayer.set(layer, (perLayer.get(layer) ?? 0) + 1),
    });
    // One row, two blocks of 16 rows, and tiles.
    const at = (position: number) => expected.subarray(position * shape.vocab, (position + 1) * shape.vocab);
    const lengths = Array.from({ length: batch }, (_, sequence) => 2 + sequence);
    device.prefill(lengths.map((length) => ids.slice(0, length)));
    for (const step of [0, 1]) {
      perLayer.clear();
      const decoded = device.decode(lengths.map((length) => ids[length + step]!));
      for (const [sequence, length] of lengths.entries()) {
        expect(largestDifference(decoded[sequence]!, at(length + step))).toBeLessThan(tolerance);
      }
      for (const layer of [0, 1, 2]) expect(perLayer.get(layer)).toBeLessThanOrEqual(6);
    }
  });

  it.each([
    ["norms before products, f32", {}, {}],
    ["norms before products, f16", {}, { dtype: "f16", capabilities: f16 }],
    ["norms behind products, f32", { postNorm: true, queryKeyNorm: "row" }, {}],
    ["norms behind products, 8 bits", { postNorm: true, queryKeyNorm: "row" }, { quantise: { bits: 8, group: 32 } }],
  ] as const)("shares inputs among groups where products have 8 or 16 rows: %s", (_, family, options) => {
    // Vectors of four everywhere, as groups need; outputs are no multiple of what a workgroup has.
    const sizes = { layers: 2, dim: 36, heads: 3, kvHeads: 1, headDim: 12, ffn: 44 };
    const many = buildTransformer({ ...shape, ...sizes, ...family });
    const own = randomWeights(many);
    const logits = [0, 1].map((leastWorkgroups) => {
      const tuning = { leastWorkgroups: leastWorkgroups === 0 ? 2 ** 20 : 1 };
      const model = scheduleGraph(many, { ...options, tuning });
      const sharing = model.kernels.filter(({ doc }) => doc.includes("share the inputs"));
      if (leastWorkgroups === 0) expect(sharing).toHaveLength(0);
      else expect(sharing.length).toBeGreaterThan(8);
      return [2, 5].map((batch) => {
        const device = new ManifestRun(model.manifest, model.kernels, (tensor) => own(tensor).data, {
          ...{ context: 16, splits: 2, batch, poison: 1e30, detectRaces: true },
        });
        const lengths = Array.from({ length: batch }, (_, sequence) => 2 + sequence);
        device.prefill(lengths.map((length) => ids.slice(0, length)));
        return device.decode(lengths.map((length) => ids[length]!));
      });
    });
    // The same products of the same weights, added up in another order.
    const [apart, shared] = logits.map((runs) => runs.flat().flatMap((row) => [...row]));
    expect(largestDifference(shared!, apart!)).toBeLessThan(tolerance);
    expect(Math.max(...apart!.map(Math.abs))).toBeGreaterThan(100 * tolerance);
  });

  it("gives every sequence of a ragged batch the logits it has alone", () => {
    const model = scheduleGraph(graph);
    const batch = runOf(model, { batch: 3, slice: 4 });
    // The sequences stand before, at and behind an edge of a chunk of 5.
    const lengths = [4, 5, 11];
    const prefilled = batch.prefill(lengths.map((length) => ids.slice(0, length)));
    for (const [sequence, length] of lengths.entries()) {
      expect(largestDifference(prefilled[sequence]!, denseAt(length - 1))).toBeLessThan(tolerance);
    }
    for (let step = 0; step < 5; step++) {
      const decoded = batch.decode(lengths.map((length) => ids[length + step]!));
      for (const [sequence, length] of lengths.entries()) {
        expect(largestDifference(decoded[sequence]!, denseAt(length + step))).toBeLessThan(tolerance);
      }
    }
  });

  it("binds matrices in parts where a device asks for it, and computes the same bits", () => {
    const limits = { ...portableCapabilities.limits, maxBindingSize: 2000 };
    const wide = buildTransformer({ ...shape, vocab: 700 });
    const wideWeights = randomWeights(wide);
    const outcomes = [
      { capabilities: portableCapabilities, limit: Number.MAX_SAFE_INTEGER },
      { capabilities: { ...portableCapabilities, limits }, limit: 25_000 },
    ].map(({ capabilities, limit }) => {
      const model = scheduleGraph(wide, { capabilities });
      const device = new ManifestRun(model.manifest, model.kernels, valuesOf(wideWeights), {
        ...{ context: 16, splits: 2 },
        limits: { maxBufferSize: Number.MAX_SAFE_INTEGER, maxStorageBufferBindingSize: limit },
      });
      const split = model.manifest.weights.filter(({ splittable }) => splittable).map(({ name }) => name);
      return { split, logits: [...device.prefill([[3, 400, 699]]), ...device.decode([256])] };
    });
    expect(outcomes[0]!.split).toEqual([]);
    expect(outcomes[1]!.split).toContain("embed_tokens");
    expect(outcomes[1]!.split).toContain("lm_head");
    expect(outcomes[1]!.logits).toEqual(outcomes[0]!.logits);
  });

  it("never reads what nobody wrote: poison leaves the logits bit-identical", () => {
    const model = scheduleGraph(graph);
    const runs = [undefined, 1e30, -3e29].map((poison) => {
      const device = runOf(model, { slice: 3, ...(poison !== undefined && { poison }) });
      return [device.prefill([ids.slice(0, 7)]), ...ids.slice(7).map((id) => device.decode([id]))];
    });
    expect(runs[1]).toEqual(runs[0]);
    expect(runs[2]).toEqual(runs[0]);
  });

  it("is free of races", () => {
    const device = runOf(scheduleGraph(graph), { detectRaces: true });
    device.prefill([ids.slice(0, 6)]);
    device.decode([ids[6]!]);
    expect(device.sample({ temperature: 0, topK: 0, topP: 1, seed: 0 })).toHaveLength(1);
  });
});

describe("a decode step", () => {
  it("reads every weight once, whatever the number of copies, in at most 6 dispatches a layer", () => {
    for (const copies of [1, 2, 3, 5, 16]) {
      const model = scheduleGraph(buildTransformer({ ...shape, copies, predicate: causal(copies) }));
      const counts = new Map<string, AccessCounts>();
      const perLayer = new Map<number | undefined, number>();
      const device = runOf(model, {
        countOf: ({ step, kernel, layer }) => {
          perLayer.set(layer, (perLayer.get(layer) ?? 0) + 1);
          const count = new AccessCounts();
          if (kernel.startsWith("linear")) counts.set(`${layer} ${step}`, count);
          return count;
        },
      });
      device.prefill([ids.slice(0, 4)]);
      counts.clear();
      perLayer.clear();
      device.decode([ids[4]!]);
      for (const [step, count] of counts) {
        expect(new Set(count.of("weight").loadsOfElement), step).toEqual(new Set([1]));
      }
      // Queries, keys and values; output; gate and up; down.
      expect([...counts.keys()].filter((step) => step.startsWith("0 "))).toHaveLength(4);
      // Up to four rows the output projection merges the splits; more rows take a dispatch for that.
      expect(perLayer.get(0)).toBe(copies <= 4 ? 5 : 6);
      for (const layer of [1, 2]) expect(perLayer.get(layer)).toBeLessThanOrEqual(6);
    }
  });

  it("samples on the device and reads its own token in the next step", () => {
    const model = scheduleGraph(graph);
    const [device, fed] = [runOf(model), runOf(model)];
    let logits = device.prefill([ids.slice(0, 5)])[0]!;
    fed.prefill([ids.slice(0, 5)]);
    for (let step = 0; step < 4; step++) {
      const [id] = device.sample({ temperature: 0, topK: 0, topP: 1, seed: 0 });
      expect(id).toBe(logits.indexOf(Math.max(...logits)));
      logits = device.step()[0]!;
      expect(logits).toEqual(fed.decode([id!])[0]);
    }
  });
});

function causal(copies: number) {
  return copies === 1
    ? predicateOf({ variant: "vanilla", copies })
    : predicateOf({ variant: "phd-cswa", copies, window: 4, chunk: 5 });
}
