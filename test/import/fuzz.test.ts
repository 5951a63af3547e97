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
