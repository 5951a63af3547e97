/** What the interpreter does besides the right thing: it notices plans that are wrong. */
import { describe, expect, it } from "vitest";
import {
  CpuSession,
  createCpuSession,
  denseForward,
  derivedPlan,
  type RowPlan,
} from "../../../src/interpret/graph/index.js";
import { runPasses } from "../../../src/passes/pass.js";
import { graphPipeline, tokenPipeline } from "../../../src/passes/pipeline.js";
import { predicateOf } from "../../support/predicates.js";
import { buildTransformer, randomWeights } from "../../support/transformer.js";

const shape = { vocab: 9, layers: 2, dim: 8, heads: 2, kvHeads: 1, headDim: 4, ffn: 6, copies: 3 };
const model = buildTransformer({ ...shape, predicate: predicateOf({ variant: "phd-swa", copies: 3, window: 4 }) });
const graph = runPasses(graphPipeline, model);
const weights = randomWeights(graph);
const plan = derivedPlan(graph);
const ids = [1, 2, 3, 4, 5, 6, 7];

function lastLogits(changed: Partial<RowPlan>): Float64Array {
  const session = new CpuSession(graph, weights, { plan: { ...plan, ...changed } });
  session.prefill([ids.slice(0, 5)]);
  session.decode([ids[5]!]);
  return session.decode([ids[6]!])[0]!;
}

describe("the float64 session", () => {
  it("reads NaN where a key was forgotten too early", () => {
    expect(lastLogits({}).some(Number.isNaN)).toBe(false);
    const forgetful = { ...plan, keeps: () => false };
    expect(lastLogits(forgetful).every(Number.isNaN)).toBe(true);
    // One key less than retention asks for.
    const oneLess: RowPlan["keeps"] = (layer, token, positions) =>
      plan.keeps(layer, token, positions) && !(layer === 0 && token.copy === 3 && token.pos === positions - 1);
    expect(lastLogits({ keeps: oneLess }).some(Number.isNaN)).toBe(true);
  });

  it("reads NaN where a key was never computed", () => {
    const lazy: RowPlan["depth"] = (token, start, positions) =>
      token.copy === 2 && token.pos === positions - 2 ? 0 : plan.depth(token, start, positions);
    expect(lastLogits({ depth: lazy }).some(Number.isNaN)).toBe(true);
  });

  it("keeps no more than retention says", () => {
    const alive = (layer: number, positions: number) =>
      Array.from({ length: positions }, (_, pos) =>
        [2, 3].filter((copy) => plan.keeps(layer, { pos, copy }, positions)),
      ).flat().length;
    // The window holds 4 hidden tokens; the last layer has a query of copy 3 only, so it keeps W - K + 2 = 3.
    expect(alive(0, 20)).toBe(4);
    expect(alive(1, 20)).toBe(3);
  });

  it("computes no more rows than demand says", () => {
    const rows = (positions: number) => {
      let entered = 0;
      for (let pos = 0; pos < positions; pos++) {
        for (const copy of [2, 3]) entered += Math.min(plan.depth({ pos, copy }, 0, positions), 2);
      }
      return entered;
    };
    // The trapezoid does not grow with the prompt.
    expect(rows(30)).toBe(rows(12));
    expect(rows(30)).toBeLessThan(20);
  });

  it("lets a sequence rest", () => {
    const session = createCpuSession(graph, weights);
    session.prefill([ids.slice(0, 3), ids.slice(0, 4)]);
    expect(session.decode([undefined, ids[4]!])[0]).toBeUndefined();
    expect(session.positions).toEqual([3, 5]);
    const dense = denseForward(graph, weights, ids.slice(0, 4));
    expect(session.decode([ids[3]!, undefined])[0]).toEqual(dense.slice(3 * shape.vocab));
  });

  it("refuses ids outside the vocabulary, and batches of another size", () => {
    const session = createCpuSession(graph, weights);
    expect(() => session.prefill([[1, 9]])).toThrow(RangeError);
    session.prefill([[1]]);
    expect(() => session.decode([1, 2])).toThrow("2 sequences given, the session has 1");
  });

  it("shows every value to an observer", () => {
    const seen = new Map<string, number>();
    const session = createCpuSession(graph, weights, {
      observe: (op) => seen.set(op.kind, (seen.get(op.kind) ?? 0) + 1),
    });
    session.prefill([ids]);
    expect(seen.get("cached-attention")).toBe(2);
    expect(seen.get("embed")).toBe(1);
  });

  it("refuses weights of another shape than the graph declares", () => {
    const session = createCpuSession(graph, (tensor) => ({ ...weights(tensor), shape: [1, 2] }));
    expect(() => session.prefill([ids])).toThrow("takes model.embed_tokens.weight as [9, 8], it is [1, 2]");
  });

  it("runs graphs before and after fuse", () => {
    const high = runPasses(tokenPipeline, model);
    expect(createCpuSession(high, weights).prefill([ids])).toEqual(createCpuSession(graph, weights).prefill([ids]));
  });
});
