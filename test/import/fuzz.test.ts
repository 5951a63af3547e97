/** Damaged configurations, seeded: each gives a model or diagnostics, never anything else. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { importModel } from "../../src/import/import-model.js";

const config = JSON.stringify(
  {
    architectures: ["LlamaForCausalLM"],
    model_type: "qwen2",
    vocab_size: 96,
    hidden_size: 64,
    intermediate_size: 112,
    num_hidden_layers: 3,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    head_dim: 16,
    rms_norm_eps: 1e-5,
    rope_theta: 10000,
    rope_scaling: { rope_type: "linear", factor: 2 },
    tie_word_embeddings: false,
    use_sliding_window: false,
    layer_types: ["full_attention", "full_attention", "full_attention"],
    torch_dtype: "float32",
    phd: { variant: "phd-cswa", repeat: 3, window: 16, chunk: 32 },
  },
  null,
  1,
);

/** What stands in for a stretch of the text: values that a key may not have, punctuation, noise. */
const replacement = fc.oneof(
  fc.constantFrom("null", "-1", "0", "1e99", "0.5", '""', "[]", "{}", "true", ",", "}", '"', "\\", "\u0000", "\ud800"),
  fc.string({ maxLength: 6 }),
);

it("answers 10,000 damaged configurations with a model or with diagnostics", () => {
  let models = 0;
  fc.assert(
    fc.property(fc.nat(config.length - 1), fc.nat(12), replacement, (start, length, text) => {
      const damaged = config.slice(0, start) + text + config.slice(start + length);
      const result = importModel({ name: "config.json", text: damaged }, "damaged");
      if (result.text !== undefined) models++;
      expect(result.text === undefined).toBe(result.diagnostics.some(({ severity }) => severity === "error"));
    }),
    { numRuns: 10_000, seed: 1 },
  );
  // Some damage is harmless; if none or all were, this would test nothing.
  expect(models).toBeGreaterThan(10);
  expect(models).toBeLessThan(9_000);
});

it("answers numbers of any size with a model or with diagnostics", () => {
  const parsed = JSON.parse(config);
  const { head_dim, ...withoutHeadDim } = {
    ...parsed,
    use_sliding_window: true,
    sliding_window: 8,
    layer_types: undefined,
  };
  const { phd, ...vanilla } = withoutHeadDim;
  const sizes = [
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "head_dim",
  ];
  const key = fc.constantFrom(...sizes, "num_key_value_heads", "max_position_embeddings", "sliding_window");
  const phdKey = fc.constantFrom("repeat", "window", "chunk");
  const value = fc.constantFrom(
    0,
    1,
    2,
    256,
    258,
    1024,
    4096,
    4097,
    2 ** 16,
    2 ** 24,
    2 ** 30,
    2 ** 31 - 1,
    2 ** 31,
    1e17,
    1e300,
  );
  const numbers = (of: fc.Arbitrary<string>) => fc.dictionary(of, value, { minKeys: 1, maxKeys: 3 });
  fc.assert(
    fc.property(fc.constantFrom(parsed, withoutHeadDim, vanilla), numbers(key), numbers(phdKey), (from, own, ofPhd) => {
      const changed = { ...from, ...own, ...(from.phd && { phd: { ...from.phd, ...ofPhd } }) };
      const result = importModel({ name: "config.json", text: JSON.stringify(changed) }, "damaged");
      expect(result.text === undefined).toBe(result.diagnostics.some(({ severity }) => severity === "error"));
    }),
    { numRuns: 2_000, seed: 1 },
  );
});

it("answers predicates of every kind with a model or with diagnostics", () => {
  const atom = fc.constantFrom(
    "q.pos",
    "k.pos",
    "q.copy",
    "k.copy",
    "K",
    "1",
    "3",
    "W",
    "hidden(q)",
    "phd(q, k)",
    "(",
    ")",
  );
  const joint = fc.constantFrom(" + ", " - ", " * ", " div ", " mod ", " <= ", " == ", " and ", " or ", " not ", " ");
  const plain = JSON.stringify({ ...JSON.parse(config), phd: undefined, rope_scaling: undefined });
  fc.assert(
    fc.property(fc.array(fc.tuple(atom, joint), { minLength: 1, maxLength: 7 }), (parts) => {
      const attend = parts.map(([left, right], at) => (at === parts.length - 1 ? left : left + right)).join("");
      const result = importModel({ name: "config.json", text: plain }, "damaged", { attend, repeat: 2 });
      expect(result.text === undefined).toBe(result.diagnostics.some(({ severity }) => severity === "error"));
    }),
    { numRuns: 1_000, seed: 1 },
  );
});
