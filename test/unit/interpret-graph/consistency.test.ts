/** The consistency laws of PHD models, on the float64 interpreter, for random small models, variants and splits. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createCpuSession, denseForward } from "../../../src/interpret/graph/index.js";
import type { Graph } from "../../../src/ir/graph/ops.js";
import { runPasses } from "../../../src/passes/pass.js";
import { graphPipeline } from "../../../src/passes/pipeline.js";
import { predicateOf, type VariantOptions } from "../../support/predicates.js";
import { buildTransformer, randomWeights, type TransformerShape } from "../../support/transformer.js";

const vocab = 9;
const size = { vocab, dim: 8, heads: 2, kvHeads: 1, headDim: 4, ffn: 6 };

function model(options: VariantOptions, shape: Partial<TransformerShape> = {}): Graph {
  const predicate = predicateOf(options);
  return runPasses(
    graphPipeline,
    buildTransformer({ ...size, layers: 2, copies: options.copies, predicate, ...shape }),
  );
}

const variants: fc.Arbitrary<VariantOptions> = fc
  .record({
    variant: fc.constantFrom("vanilla", "naive", "phd", "phd-swa", "phd-cswa"),
    copies: fc.integer({ min: 1, max: 4 }),
    window: fc.integer({ min: 0, max: 6 }),
    unit: fc.constantFrom("tokens" as const, "positions" as const),
    chunk: fc.integer({ min: 1, max: 6 }),
  })
  .map((options) => (options.variant === "vanilla" ? { ...options, copies: 1 } : options));

const shapes: fc.Arbitrary<Partial<TransformerShape>> = fc.record({
  layers: fc.integer({ min: 1, max: 3 }),
  positions: fc.constantFrom("shared" as const, "interleaved" as const),
  bias: fc.boolean(),
  queryKeyNorm: fc.constantFrom("head" as const, "row" as const, undefined),
  postNorm: fc.boolean(),
  tied: fc.boolean(),
});

const idLists = fc.array(fc.nat({ max: vocab - 1 }), { minLength: 2, maxLength: 14 });

/** Two models with the same weights give the same logits, up to rounding. */
function expectSame(left: Graph, right: Graph, ids: readonly number[]): void {
  const weights = randomWeights(left);
  expectClose(denseForward(left, weights, ids), denseForward(right, weights, ids));
}

function expectClose(actual: Float64Array, expected: Float64Array): void {
  expect(actual.length).toBe(expected.length);
  for (const [index, value] of expected.entries()) expect(actual[index]).toBeCloseTo(value, 10);
}

describe("the consistency laws", () => {
  it("prefill and decode give the dense logits at every position, for every split", () => {
    fc.assert(
      fc.property(variants, shapes, idLists, fc.nat(), (variant, shape, ids, at) => {
        const graph = model(variant, shape);
        const weights = randomWeights(graph);
        const dense = denseForward(graph, weights, ids);
        const split = 1 + (at % ids.length);
        const session = createCpuSession(graph, weights);
        const steps = [session.prefill([ids.slice(0, split)]), ...ids.slice(split).map((id) => session.decode([id]))];
        for (const [step, [logits]] of steps.entries()) {
          const position = split - 1 + step;
          expect(logits).toEqual(dense.slice(position * vocab, (position + 1) * vocab));
        }
      }),
      { numRuns: 40, endOnFailure: true },
    );
  });

  it("a prompt may come in slices", () => {
    fc.assert(
      fc.property(
        variants,
        idLists,
        fc.array(fc.integer({ min: 1, max: 5 }), { maxLength: 14 }),
        (variant, ids, cuts) => {
          const graph = model(variant, { layers: 3 });
          const weights = randomWeights(graph);
          const session = createCpuSession(graph, weights);
          let at = Math.min(ids.length, cuts[0] ?? 1);
          let logits = session.prefill([ids.slice(0, at)])[0]!;
          for (let step = 1; at < ids.length; step++) {
            const slice = ids.slice(at, at + (cuts[step] ?? 2));
            logits = session.advance([slice])[0]!;
            at += slice.length;
          }
          expect(logits).toEqual(denseForward(graph, weights, ids).slice((ids.length - 1) * vocab));
        },
      ),
      { numRuns: 25, endOnFailure: true },
    );
  });

  it("sequences of a batch do not touch each other, at whatever chunk edge each stands", () => {
    fc.assert(
      fc.property(variants, fc.array(idLists, { minLength: 2, maxLength: 3 }), idLists, (variant, prompts, next) => {
        const graph = model(variant);
        const weights = randomWeights(graph);
        const together = createCpuSession(graph, weights);
        const alone = prompts.map(() => createCpuSession(graph, weights));
        expect(together.prefill(prompts)).toEqual(prompts.map((prompt, index) => alone[index]!.prefill([prompt])[0]));
        for (const id of next.slice(0, 5)) {
          const ids = prompts.map((_, index) => (id + index) % vocab);
          expect(together.decode(ids)).toEqual(ids.map((own, index) => alone[index]!.decode([own])[0]));
        }
      }),
      { numRuns: 15, endOnFailure: true },
    );
  });

  it("with K = 1 every PHD variant is vanilla", () => {
    const ids = [1, 5, 0, 3, 8, 2, 2];
    const vanilla = model({ variant: "vanilla", copies: 1 });
    for (const variant of ["naive", "phd", "phd-swa", "phd-cswa"]) {
      expectSame(model({ variant, copies: 1, window: 3, chunk: 2 }), vanilla, ids);
    }
  });

  it("PHD-SWA with a window of 0 is PHD, and so is PHD-CSWA with chunks of 1", () => {
    const ids = [4, 4, 1, 0, 7, 6, 2, 5];
    for (const copies of [2, 3]) {
      const phd = model({ variant: "phd", copies });
      expectSame(model({ variant: "phd-swa", copies, window: 0 }), phd, ids);
      expectSame(model({ variant: "phd-cswa", copies, window: 5, chunk: 1 }), phd, ids);
    }
  });

  it("PHD-CSWA with a chunk as long as the text is PHD-SWA", () => {
    const ids = [4, 4, 1, 0, 7, 6, 2, 5];
    for (const unit of ["tokens", "positions"] as const) {
      const swa = model({ variant: "phd-swa", copies: 3, window: 4, unit });
      expectSame(model({ variant: "phd-cswa", copies: 3, window: 4, unit, chunk: ids.length }), swa, ids);
    }
  });

  it("a token changes no logits before it", () => {
    fc.assert(
      fc.property(variants, shapes, idLists, fc.nat(), (variant, shape, ids, at) => {
        const graph = model(variant, shape);
        const weights = randomWeights(graph);
        const changed = at % ids.length;
        const other = ids.map((id, position) => (position < changed ? id : (id + 1) % vocab));
        const until = changed * vocab;
        expect(denseForward(graph, weights, other).slice(0, until)).toEqual(
          denseForward(graph, weights, ids).slice(0, until),
        );
      }),
      { numRuns: 25, endOnFailure: true },
    );
  });

  it("layers may attend differently", () => {
    const ids = [1, 2, 3, 4, 5, 6, 7, 8, 0, 1, 2];
    const graph = model(
      { variant: "phd-swa", copies: 3, window: 5 },
      { layers: 4, oddPredicate: predicateOf({ variant: "phd-cswa", copies: 3, window: 3, chunk: 4 }) },
    );
    const weights = randomWeights(graph);
    const dense = denseForward(graph, weights, ids);
    for (let split = 1; split < ids.length; split++) {
      const session = createCpuSession(graph, weights);
      session.prefill([ids.slice(0, split)]);
      expect(session.decode([ids[split]!])[0]).toEqual(dense.slice(split * vocab, (split + 1) * vocab));
    }
  });
});
