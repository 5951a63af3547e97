/** Models of every shape that the language allows, from text to kernels, against the float64 interpreter. */
import { describe, expect, it } from "vitest";
import { compileSource } from "../../src/compile.js";
import { DiagnosticCollector } from "../../src/diagnostics/diagnostic.js";
import { checkModel } from "../../src/dsl/check/check-model.js";
import { parseFile } from "../../src/dsl/syntax/parse.js";
import { denseForward } from "../../src/interpret/graph/dense.js";
import { ManifestRun } from "../../src/interpret/kernel/run-manifest.js";
import { portableCapabilities } from "../../src/ir/kernel/capabilities.js";
import { lowerModel } from "../../src/lower/lower-model.js";
import { runPasses } from "../../src/passes/pass.js";
import { repeatTokens } from "../../src/passes/tokens/repeat-tokens.js";
import { randomWeights } from "../support/transformer.js";

// Sums in f32 over a few dozen terms, through at most four layers.
const tolerance = 1e-4;

const attention = `
  fn attend_block(x: [tokens, dim], heads: int, kv_heads: int, width: int) -> [tokens, dim] {
    let q = rope(split(linear(x, weight "q" [heads * width, dim]), heads))
    let k = rope(split(linear(x, weight "k" [kv_heads * width, dim]), kv_heads))
    let v = split(linear(x, weight "v" [kv_heads * width, dim]), kv_heads)
    return linear(merge(attention(q, k, v)), weight "o" [dim, heads * width])
  }
`;

interface ModelText {
  /** Beside vocab, layers, dim, heads, kv_heads, width and K. */
  readonly params?: string;
  readonly K?: number;
  readonly layers?: number;
  readonly vocab?: number;
  readonly attend?: string;
  readonly rotate?: string;
  readonly embed?: string;
  /** Of the layer, which replaces x. */
  readonly body?: string;
  readonly predict?: string;
}

const usual = {
  K: 3,
  layers: 3,
  vocab: 19,
  attend: "phd_cswa(q, k, 3, 4)",
  rotate: "t.pos",
  embed: 'var x = repeat(embed(ids, weight "embed" [vocab, dim]))',
  body: 'x += attend_block(rms_norm(x, weight "norm" [dim]), heads, kv_heads, width)',
  predict: 'copy K: linear(rms_norm(x, weight "norm" [dim]), weight "head" [vocab, dim])',
};

function textOf(model: ModelText): string {
  const { K, layers, vocab, attend, rotate, embed, body, predict } = { ...usual, ...model };
  return `
    use std.phd
    use std.nn
    ${attention}
    model Odd {
      param vocab = ${vocab}, layers = ${layers}, dim = 10, heads = 4, kv_heads = 2, width = 6, K = ${K}
      ${model.params ?? ""}
      repeat K
      attend q -> k when ${attend}
      rotate t by ${rotate}
      forward(ids: [positions] int) -> [positions, vocab] {
        ${embed}
        for l in layers within "layers.{l}" {
          ${body}
        }
        predict ${predict}
      }
    }`;
}

const ids = [3, 17, 0, 8, 8, 1, 12, 5, 18, 2, 7];

function check(model: ModelText): void {
  const source = { name: "odd.phd", text: textOf(model) };
  const { diagnostics, program } = compileSource(source, {
    target: "webgpu",
    dtype: "f32",
    capabilities: portableCapabilities,
  });
  expect(diagnostics.filter(({ severity }) => severity === "error")).toEqual([]);
  const collector = new DiagnosticCollector();
  const lowered = lowerModel(checkModel(parseFile(source, collector)!, collector)!);
  const weights = randomWeights(lowered, 7);
  const { manifest, kernelPrograms } = program!;
  const { vocab } = manifest.model;
  const dense = denseForward(
    runPasses([repeatTokens], lowered),
    weights,
    ids.map((id) => id % vocab),
  );
  for (const prompt of [1, 6, ids.length]) {
    const run = new ManifestRun(manifest, kernelPrograms, (tensor) => weights(tensor).data, {
      ...{ context: ids.length, splits: 2, slice: 4, poison: 1e30 },
    });
    const predictions = [run.prefill([ids.slice(0, prompt).map((id) => id % vocab)])];
    for (const id of ids.slice(prompt)) predictions.push(run.decode([id % vocab]));
    for (const [step, [prediction]] of predictions.entries()) {
      const at = (prompt - 1 + step) * vocab;
      for (const [index, value] of prediction!.entries()) {
        const difference = Math.abs(value - dense[at + index]!);
        expect(difference, `position ${prompt - 1 + step}`).toBeLessThan(tolerance * Math.max(1, Math.abs(value)));
      }
    }
  }
}

describe("models of every shape", () => {
  it("attention and feed-forward side by side", () =>
    check({
      body: `let h = rms_norm(x, weight "norm" [dim])
        x += attend_block(h, heads, kv_heads, width) + swiglu(h, 14)`,
    }));

  it("a gelu with biases, and a gain on what is added", () =>
    check({
      body: `x += attend_block(x, heads, kv_heads, width)
        let up = linear(x, weight "up" [2 * dim, dim], bias "up" [2 * dim])
        x += linear(gelu(up), weight "down" [dim, 2 * dim], bias "down" [dim]) * tensor "gain" [dim]`,
    }));

  it("two values carried through the layers, exchanged in each", () =>
    check({
      embed: `var x = repeat(embed(ids, weight "embed" [vocab, dim]))
        var y = x * 0.5`,
      body: `let z = x + attend_block(y, heads, kv_heads, width)
        x = y
        y = z`,
      predict: 'copy K: linear(x + y, weight "head" [vocab, dim])',
    }));

  it("the embedding added again in every layer", () =>
    check({
      embed: `let first = repeat(embed(ids, weight "embed" [vocab, dim])) * 3.0
        var x = first`,
      body: `x += attend_block(x, heads, kv_heads, width) + first * 0.25`,
    }));

  it("layers of several kinds, one without attention", () =>
    check({
      layers: 4,
      body: `if l mod 2 == 0 { x += attend_block(x, heads, kv_heads, width) } else if l == 1 { x += silu(x) } else {
          attend q -> k when phd(q, k)
          x += attend_block(rms_norm(x, weight "norm" [dim]), heads, kv_heads, width)
        }`,
    }));

  it("hidden keys kept for ever in one layer, in a ring in another, and not at all in a third", () =>
    check({
      body: `if l == 0 {
          attend q -> k when naive(q, k)
          x += attend_block(x, heads, kv_heads, width)
        } else if l == 1 { x += attend_block(x, heads, kv_heads, width) } else {
          attend q -> k when k.copy == 1 and k.pos <= q.pos
          x += attend_block(x, heads, kv_heads, width)
        }`,
    }));

  it("queries that see only some positions, so that keys are masked one by one", () =>
    check({ attend: "phd(q, k) and (q.pos - k.pos) mod 3 != 1 or k.pos == q.pos and k.copy == q.copy" }));

  it("originals predict, and hidden tokens are read by them", () =>
    check({
      K: 2,
      attend: "k.pos <= q.pos and q.copy == 1 or k.pos == q.pos",
      predict: 'copy 1: linear(x, weight "head" [vocab, dim])',
    }));

  it("rotation by place in the stream, with a norm on every head of queries and keys", () =>
    check({
      rotate: "stream(t)",
      body: `let q = rope(rms_norm(split(linear(x, weight "q" [heads * width, dim]), heads), weight "qn" [width]))
        let k = rope(rms_norm(split(linear(x, weight "k" [kv_heads * width, dim]), kv_heads), weight "kn" [width]))
        let v = split(linear(x, weight "v" [kv_heads * width, dim]), kv_heads)
        x += linear(merge(attention(q, k, v)), weight "o" [dim, heads * width])`,
    }));

  it("something between rotation and attention, and values that are normed", () =>
    check({
      body: `let q = rope(split(linear(x, weight "q" [heads * width, dim]), heads)) * 1.5
        let k = rms_norm(rope(split(linear(x, weight "k" [kv_heads * width, dim]), kv_heads)), weight "kn" [width])
        let v = rms_norm(split(linear(x, weight "v" [kv_heads * width, dim]), kv_heads), weight "vn" [width])
        x += linear(merge(attention(q, k, v)), weight "o" [dim, heads * width])`,
    }));

  it("no rotation, keys that are queries, and a scale of its own", () =>
    check({
      body: `let q = split(linear(x, weight "q" [heads * width, dim]), heads)
        x += linear(merge(attention(q, q, q, scale = 0.3)), weight "o" [dim, heads * width])`,
    }));

  it("logits that are capped", () => check({ predict: 'copy K: tanh(linear(x, weight "head" [vocab, dim]) / 3) * 3' }));

  it("logits that are the stream itself", () =>
    check({ vocab: 10, params: "require vocab == dim", predict: "copy K: x" }));

  it("one copy, one layer", () => check({ K: 1, layers: 1, attend: "vanilla(q, k)" }));
});
