/** What every pass must keep: the meaning of the graph. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CpuSession, createCpuSession, denseForward } from "../../../src/interpret/graph/index.js";
import { printGraph } from "../../../src/ir/graph/print.js";
import { eachOp } from "../../../src/ir/graph/walk.js";
import { fuse } from "../../../src/passes/fuse/fuse.js";
import { type Pass, runPasses } from "../../../src/passes/pass.js";
import { graphPipeline } from "../../../src/passes/pipeline.js";
import { simplify } from "../../../src/passes/simplify/simplify.js";
import { annotateRows } from "../../../src/passes/tokens/annotate-rows.js";
import { repeatTokens } from "../../../src/passes/tokens/repeat-tokens.js";
import { predicateOf } from "../../support/predicates.js";
import { randomGraphs, vocab } from "../../support/random-graph.js";
import { buildTransformer, randomWeights } from "../../support/transformer.js";

const ids = [1, 2, 3, 4, 5, 6, 0, 1];

describe("the passes", () => {
  it("keep the logits of any graph", () => {
    // Without the analyses of the relation, which take most of the time and are tested below.
    const withoutParts = [repeatTokens, ...simplify, annotateRows];
    fc.assert(
      fc.property(randomGraphs, (graph) => {
        const weights = randomWeights(graph);
        const plain = denseForward(runPasses([repeatTokens], graph), weights, ids);
        expectClose(denseForward(runPasses(withoutParts, graph), weights, ids), plain);
        expectClose(denseForward(runPasses([...withoutParts, ...fuse], graph), weights, ids), plain);
      }),
      { numRuns: 60 },
    );
  });

  it("derive rows and kept keys that suffice for any graph, in batches of prompts of different lengths", () => {
    fc.assert(
      fc.property(randomGraphs, fc.integer({ min: 1, max: ids.length }), fc.boolean(), (graph, split, inSlices) => {
        const weights = randomWeights(graph);
        const fused = runPasses(graphPipeline, graph);
        const dense = denseForward(fused, weights, ids);
        const session = createCpuSession(fused, weights);
        const [logits] = session.prefill([ids.slice(0, split), ids.slice(0, 2)]);
        expect(logits).toEqual(dense.slice((split - 1) * vocab, split * vocab));
        for (let position = split; position < ids.length; position++) {
          const next = [ids[position]!];
          const [decoded] = inSlices ? session.advance([next, []]) : session.decode([next[0], undefined]);
          expect(decoded).toEqual(dense.slice(position * vocab, (position + 1) * vocab));
        }
      }),
      { numRuns: 15 },
    );
  });

  it("give the same graph for relations that are written differently", () => {
    const shape = { vocab: 11, layers: 2, dim: 8, heads: 2, kvHeads: 1, headDim: 4, ffn: 12, copies: 3 };
    const phd = predicateOf({ variant: "phd", copies: 3 });
    const windowless = predicateOf({ variant: "phd-swa", copies: 3, window: 0 });
    const doubled = { kind: "not", part: { kind: "not", part: { kind: "or", parts: [phd, windowless] } } } as const;
    const texts = [phd, windowless, doubled].map((predicate) =>
      printGraph(runPasses(graphPipeline, buildTransformer({ ...shape, predicate }))).replaceAll(
        / {4}stated .*\n/g,
        "",
      ),
    );
    expect(texts[1]).toBe(texts[0]);
    expect(texts[2]).toBe(texts[0]);
  });

  it("fuse a layer into at most five operations besides its weights", () => {
    const shape = { vocab: 11, layers: 2, dim: 8, heads: 2, kvHeads: 1, headDim: 4, ffn: 12, copies: 3 };
    const predicate = predicateOf({ variant: "phd", copies: 3 });
    const kindsOf = (options: object) => {
      const graph = runPasses(graphPipeline, buildTransformer({ ...shape, predicate, ...options }));
      return [...eachOp(graph)].map(({ kind }) => kind).filter((kind) => kind !== "weight");
    };
    const before = ["input", "embed", "layers"];
    const after = ["select-copy", "fused-linear"];
    const preNorm = ["fused-linear", "store-keys", "cached-attention", "fused-linear", "fused-linear", "fused-linear"];
    expect(kindsOf({ queryKeyNorm: "head", bias: true, tied: true })).toEqual([...before, ...preNorm, ...after]);
    expect(kindsOf({ queryKeyNorm: "row", postNorm: true })).toEqual([
      ...before,
      ...[
        "fused-linear",
        "store-keys",
        "cached-attention",
        "fused-linear",
        "norm",
        "fused-linear",
        "fused-linear",
        "norm",
      ],
      ...after,
    ]);
  });

  it("take no longer for more layers", () => {
    const shape = { vocab: 11, dim: 8, heads: 2, kvHeads: 1, headDim: 4, ffn: 12, copies: 2 };
    const predicate = predicateOf({ variant: "phd", copies: 2 });
    const [few, many] = [2, 200].map((layers) => {
      const graph = runPasses(graphPipeline, buildTransformer({ ...shape, layers, predicate }));
      return [...eachOp(graph)].length;
    });
    expect(many).toBe(few);
  });
});

describe("the runner", () => {
  const graph = () =>
    buildTransformer({
      ...{ vocab: 5, layers: 1, dim: 8, heads: 2, kvHeads: 1, headDim: 4, ffn: 4, copies: 1 },
      predicate: predicateOf({ variant: "vanilla", copies: 1 }),
    });

  it("traces every pass in order, beginning with the graph it was given", () => {
    const seen: string[] = [];
    runPasses(graphPipeline, graph(), (pass, _, milliseconds) => {
      seen.push(pass);
      expect(milliseconds).toBeGreaterThanOrEqual(0);
    });
    expect(seen).toEqual(["lower", ...graphPipeline.map(({ name }) => name)]);
  });

  it("says which pass broke the graph", () => {
    const dropsAll: Pass = {
      name: "drops-all",
      run: (given) => ({ ...given, body: { ...given.body, ops: [] } }),
    };
    expect(() => runPasses([repeatTokens, dropsAll], graph())).toThrow("not valid after drops-all");
  });

  it("keeps checking what an earlier pass has promised", () => {
    const forgets: Pass = { name: "forgets", run: () => graph() };
    const reversed: Pass = {
      name: "repeats late",
      run: (given) => ({
        ...given,
        copies: 2,
      }),
    };
    expect(() => runPasses([forgets, repeatTokens, reversed], graph())).toThrow("makes 1 copies of 2");
  });
});

describe("the interpreter", () => {
  it("computes everything and keeps everything when no plan says otherwise", () => {
    fc.assert(
      fc.property(randomGraphs, (graph) => {
        const weights = randomWeights(graph);
        const high = runPasses([repeatTokens], graph);
        const session = new CpuSession(high, weights);
        session.prefill([ids.slice(0, 3)]);
        const dense = denseForward(high, weights, ids);
        expect(session.advance([ids.slice(3)])[0]).toEqual(dense.slice((ids.length - 1) * vocab));
      }),
      { numRuns: 15 },
    );
  });
});

/** Fusing may change the order of sums, nothing else. */
function expectClose(actual: Float64Array, expected: Float64Array): void {
  let largest = 1;
  for (const value of expected) largest = Math.max(largest, Math.abs(value));
  for (const [index, value] of expected.entries()) {
    if (!(Math.abs(actual[index]! - value) <= 1e-10 * largest)) {
      expect.fail(`element ${index} is ${actual[index]} instead of ${value}`);
    }
  }
}
