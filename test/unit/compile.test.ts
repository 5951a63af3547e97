import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { type CompileOptions, compileSource } from "../../src/compile.js";
import { portableCapabilities } from "../../src/ir/kernel/capabilities.js";

const options: CompileOptions = { target: "webgpu", dtype: "f32", capabilities: portableCapabilities };
const examples = readdirSync("examples").filter((name) => name.endsWith(".phd"));
const example = (name: string) => ({ name: `examples/${name}`, text: readFileSync(`examples/${name}`, "utf8") });

const compiled = (text: string, set: Record<string, number> = {}) => {
  const { diagnostics, program } = compileSource({ name: "model.phd", text }, { ...options, set });
  expect(diagnostics).toEqual([]);
  return program!;
};

describe("compiling", () => {
  it.each(examples)("%s for devices with and without f16 and subgroups", (name) => {
    const full = { ...portableCapabilities, f16: true, subgroups: { minSize: 8, maxSize: 64 } };
    for (const [dtype, capabilities] of [
      ["f32", portableCapabilities],
      ["f16", full],
    ] as const) {
      const { diagnostics, program } = compileSource(example(name), { ...options, dtype, capabilities });
      expect(diagnostics).toEqual([]);
      expect(program!.kernels.map(({ info }) => info)).toEqual(program!.manifest.kernels);
      expect(program!.manifest.requires.features).toEqual(dtype === "f16" ? ["shader-f16", "subgroups"] : []);
    }
  });

  it("gives the same bytes for the same text", () => {
    const [first, second] = [0, 1].map(() => compileSource(example("phd-cswa-3-16-32.phd"), options).program!);
    expect(JSON.stringify(first!.manifest)).toBe(JSON.stringify(second!.manifest));
    expect(first!.kernels.map(({ text }) => text)).toEqual(second!.kernels.map(({ text }) => text));
  });

  it("reports what is wrong and gives no program", () => {
    const { diagnostics, program } = compileSource({ name: "broken.phd", text: "model M { repeat }" }, options);
    expect(program).toBeUndefined();
    expect(diagnostics.length).toBeGreaterThan(0);
  });

  it("shows the graph after every pass and times every stage", () => {
    const passes: string[] = [];
    const trace = (pass: string) => void passes.push(pass);
    const { timings } = compileSource(example("phd-2.phd"), { ...options, trace });
    expect(passes.slice(0, 2)).toEqual(["lower", "repeat-tokens"]);
    expect(timings.map(({ stage }) => stage)).toEqual([
      ...["parse", "check", "lower", "check relations", "passes", "analyse", "schedule", "emit"],
    ]);
  });

  it("refuses a relation that lets a query see a later step, with an example and its place", () => {
    const { text } = example("phd-2.phd");
    const ahead = {
      name: "ahead.phd",
      text: text.replace(/attend q -> k when .*/, "attend q -> k when k.pos <= q.pos + 1"),
    };
    const { diagnostics, program } = compileSource(ahead, options);
    expect(program).toBeUndefined();
    expect(diagnostics.map(({ code, message }) => `${code} ${message}`)).toEqual([
      "PHD0401 A query sees a key of a later step: query pos 0 copy 1 sees key pos 1 copy 1",
    ]);
    const { span } = diagnostics[0]!.labels[0]!;
    expect(span.file.text.slice(span.start, span.end)).toBe("k.pos <= q.pos + 1");
  });

  it("takes values of parameters from outside", () => {
    const { manifest } = compileSource(example("phd-cswa-3-16-32.phd"), { ...options, set: { K: 5, layers: 2 } })
      .program!;
    expect(manifest.model).toMatchObject({ copies: 5, predictCopy: 5, layers: 2 });
  });
});

describe("what is derived and not named", () => {
  const model = (rules: string, attend: string) => `
    use std.llama
    ${rules}
    model M {
      param vocab = 20, layers = 3, dim = 16, heads = 2, head_dim = 8, ffn = 24, K = 3, W = 4, C = 8
      repeat K
      attend q -> k when ${attend}
      rotate t by t.pos
      forward(ids: [positions] int) -> [positions, vocab] {
        var x = repeat(embed(ids, weight "embed" [vocab, dim]))
        for l in layers within "layers.{l}" { x = llama_block(x, heads, heads, head_dim, ffn) }
        predict copy K: linear(x, weight "head" [vocab, dim])
      }
    }`;
  const texts = [
    model("use std.phd", "phd_cswa(q, k, W, C)"),
    model(
      `index bread(t) = t.pos * (K - 1) + t.copy - 2
      rule butter(q, k) = k.copy == 1 and k.pos < q.pos
      rule jam(q, k) = k.pos == q.pos and k.copy <= q.copy
      rule toast(q, k, W) = q.copy > 1 and k.copy > 1 and k.pos < q.pos and bread(q) - bread(k) <= W
      rule breakfast(q, k, W, C) = butter(q, k) or jam(q, k) or toast(q, k, W) and q.pos div C == k.pos div C`,
      "breakfast(q, k, W, C)",
    ),
    model(
      "",
      `k.pos == q.pos and k.copy <= q.copy or k.copy == 1 and not (k.pos >= q.pos)
       or k.pos < q.pos and 2 <= k.copy and 1 < q.copy and 2 * q.pos + q.copy <= 4 + 2 * k.pos + k.copy and k.pos div 8 == q.pos div 8`,
    ),
  ];

  it("a plan and kernels that are the same under other names of rules", () => {
    const [library, renamed] = texts.slice(0, 2).map((text) => compiled(text));
    expect(renamed!.manifest.kernels).toEqual(library!.manifest.kernels);
    const plan = ({ manifest }: typeof renamed & object) => ({
      ...manifest,
      model: undefined,
      phases: manifest.phases,
    });
    expect(withoutOrigins(plan(renamed!))).toEqual(withoutOrigins(plan(library!)));
  });

  it("a plan and kernels that are the same for another expression of the same relation", () => {
    const [library, , equivalent] = texts.map((text) => compiled(text));
    expect(equivalent!.manifest.stores).toEqual(library!.manifest.stores);
    expect(equivalent!.manifest.rows).toEqual(library!.manifest.rows);
    expect(equivalent!.manifest.kernels.map(({ sha256 }) => sha256)).toEqual(
      library!.manifest.kernels.map(({ sha256 }) => sha256),
    );
  });
});

/** Lines of the source differ between texts that mean the same. */
function withoutOrigins(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value, (key, inner) => (key === "origin" ? undefined : inner)));
}
