/** Variants that the paper does not have: what is derived for them is kept as recorded, and computes what they mean. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type CompileOptions, compileSource } from "../../src/compile.js";
import { explain } from "../../src/explain/explain.js";
import { denseForward } from "../../src/interpret/graph/dense.js";
import { createCpuSession } from "../../src/interpret/graph/index.js";
import { ManifestRun } from "../../src/interpret/kernel/run-manifest.js";
import { portableCapabilities } from "../../src/ir/kernel/capabilities.js";
import { runPasses } from "../../src/passes/pass.js";
import { repeatTokens } from "../../src/passes/tokens/repeat-tokens.js";
import { randomWeights } from "../support/transformer.js";
import { graphOf } from "../unit/dsl/support.js";

const folder = join(import.meta.dirname, "../../examples/variants");
const variants = readdirSync(folder)
  .filter((name) => name.endsWith(".phd"))
  .sort()
  .map((name) => name.replace(".phd", ""));
const sourceOf = (name: string) => ({
  name: `examples/variants/${name}.phd`,
  text: readFileSync(join(folder, `${name}.phd`), "utf8"),
});

/** The same models, narrower and with shorter windows and chunks, so that short texts reach beyond them. */
const small = { vocab: 11, dim: 8, heads: 2, kv_heads: 1, head_dim: 4, ffn: 6 };
const shorter: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  "attention-sinks": { S: 2, W: 3 },
  "chunked-originals": { C: 5 },
  "copy-lanes": { W: 2 },
  "dilated-window": { D: 2, W: 2 },
  "per-layer-rules": { W: 3 },
  "sliding-window": { W: 4 },
  "widening-window": { K: 3, W: 2 },
};

function compiled(name: string, set: Readonly<Record<string, number>> = {}, options: Partial<CompileOptions> = {}) {
  const settings = asText(set);
  const { program, diagnostics } = compileSource(sourceOf(name), {
    ...{ target: "webgpu", dtype: "f32", capabilities: portableCapabilities, set: settings },
    ...options,
  });
  expect(diagnostics.filter(({ severity }) => severity === "error")).toEqual([]);
  return program!;
}

/** Deterministic ids below the vocabulary. */
const idsOf = (count: number) => Array.from({ length: count }, (_, i) => (i * i * 7 + 3 * i + 1) % small.vocab);

const largestDifference = (logits: ArrayLike<number>, dense: Float64Array, position: number) =>
  Math.max(...Array.from(logits, (logit, id) => Math.abs(logit - dense[position * small.vocab + id]!)));

it("there are ten variants", () => {
  expect(variants).toHaveLength(10);
});

describe.each(variants)("the variant %s", (name) => {
  it("compiles for webgpu, with and without f16, to the plan that is recorded", async () => {
    const program = compiled(name);
    expect(program.kernels.length).toBeGreaterThan(5);
    const plan = `${JSON.stringify(explain(program, 40), null, 2)}\n`;
    await expect(plan).toMatchFileSnapshot(`plans/${name}.json`);
    const half = compiled(name, {}, { dtype: "f16", capabilities: { ...portableCapabilities, f16: true } });
    expect(half.kernels.length).toBeGreaterThan(5);
  });

  it("gives the dense logits wherever its prompt ends", () => {
    const set = { ...small, ...shorter[name] };
    const { graph, manifest, kernelPrograms } = compiled(name, set);
    const text = sourceOf(name).text;
    const lowered = graphOf(text, { set: asText(set) });
    const weights = randomWeights(lowered, 5);
    const ids = idsOf(14);
    const dense = denseForward(runPasses([repeatTokens], lowered), weights, ids);
    expect(dense.every(Number.isFinite)).toBe(true);

    for (const split of [1, 2, 5, 6, 9, 13]) {
      const session = createCpuSession(graph, weights);
      let [logits] = session.prefill([ids.slice(0, split)]);
      for (let position = split - 1; ; position++) {
        // The same sums in another order.
        expect(largestDifference(logits!, dense, position), `${split}, ${position}`).toBeLessThan(1e-9);
        if (position === ids.length - 1) break;
        [logits] = session.decode([ids[position + 1]!]) as [Float64Array];
      }
    }

    // Two slices of a prompt, then tokens one by one, on the kernels themselves.
    const run = new ManifestRun(manifest, kernelPrograms, (tensor) => weights(tensor).data, {
      ...{ batch: 1, context: ids.length, splits: 2 },
    });
    run.prefill([ids.slice(0, 4)]);
    let [logits] = run.prefill([ids.slice(4, 11)]);
    for (let position = 10; position < ids.length; position++) {
      // float32 sums of a few dozen terms through at most four layers.
      expect(largestDifference(logits!, dense, position), `kernels at ${position}`).toBeLessThan(1e-4);
      if (position < ids.length - 1) [logits] = run.decode([ids[position + 1]!]);
    }
  });
});

function asText(set: Readonly<Record<string, number>>): Record<string, string> {
  return Object.fromEntries(Object.entries(set).map(([key, value]) => [key, String(value)]));
}
