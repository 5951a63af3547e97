import { describe, expect, it } from "vitest";
import { renderDiagnostics } from "../../src/diagnostics/render-terminal.js";
import { readConfig } from "../../src/import/read-config.js";
import type { PhdOverrides } from "../../src/import/read-phd.js";

const base = {
  model_type: "llama",
  vocab_size: 96,
  hidden_size: 64,
  intermediate_size: 112,
  num_hidden_layers: 3,
  num_attention_heads: 4,
};

/** What a user sees for a configuration: `base` with some keys changed (undefined removes one), or a text as it is. */
function report(config: string | Record<string, unknown>, overrides: PhdOverrides = {}): string {
  const text = typeof config === "string" ? config : JSON.stringify({ ...base, ...config }, null, 1);
  return renderDiagnostics(readConfig({ name: "config.json", text }, overrides).diagnostics);
}

describe("a config.json that is no configuration", () => {
  it("is refused where its JSON ends to make sense", () => {
    expect(report(`{ "model_type": "llama", }`)).toMatchInlineSnapshot(`
      "error[PHD0501]: Expected a key in double quotes, found "}"
        config.json:1:26
      1 | { "model_type": "llama", }
        |                          ^ expected a key in double quotes
      Hint: The file must be strict JSON: no comments, no trailing commas."
    `);
    expect(report(`{ "vocab_size": 1e999 }`)).toMatchInlineSnapshot(`
      "error[PHD0501]: Expected a number that a double can hold, found "1"
        config.json:1:17
      1 | { "vocab_size": 1e999 }
        |                 ^ expected a number that a double can hold
      Hint: The file must be strict JSON: no comments, no trailing commas."
    `);
    expect(report(`{ "model_type": "lla`)).toMatchInlineSnapshot(`
      "error[PHD0501]: Expected a complete string, found "\\""
        config.json:1:17
      1 | { "model_type": "lla
        |                 ^ this string is not closed, or holds a character that JSON forbids
      Hint: The file must be strict JSON: no comments, no trailing commas."
    `);
    expect(report(`{} {}`)).toMatchInlineSnapshot(`
      "error[PHD0501]: Expected the end of the file, found "{"
        config.json:1:4
      1 | {} {}
        |    ^ expected the end of the file
      Hint: The file must be strict JSON: no comments, no trailing commas."
    `);
  });

  it("is refused, not overflowed, when it nests without end", () => {
    expect(report("[".repeat(100_000))).toContain("no more than 64 levels of brackets");
  });

  it("is refused when it is no object", () => {
    expect(report(`["llama"]`)).toMatchInlineSnapshot(`
      "error[PHD0502]: The configuration is a list, not an object
        config.json:1:1
      1 | ["llama"]
        | ^^^^^^^^^"
    `);
  });

  it("is refused when a key occurs twice", () => {
    expect(report(JSON.stringify(base).replace("{", `{"vocab_size": 97, `))).toMatchInlineSnapshot(`
      "error[PHD0503]: The key "vocab_size" occurs twice
        config.json:1:41
      1 | {"vocab_size": 97, "model_type":"llama","vocab_size":96,"hidden_size":64,"intermediate_size":112,"num_hidden_layers":3,"num_attention_heads":4}
        |                                         ^^^^^^^^^^^^ here again
        |  ------------ first here"
    `);
  });
});

describe("keys", () => {
  it("that are not understood are named, with the nearest known key", () => {
    expect(report({ num_key_value_head: 2, logit_scale: 0.5 })).toMatchInlineSnapshot(`
      "error[PHD0504]: The key "num_key_value_head" is not understood
        config.json:8:2
      8 |  "num_key_value_head": 2,
        |  ^^^^^^^^^^^^^^^^^^^^
      Hint: Did you mean "num_key_value_heads"?

      error[PHD0504]: The key "logit_scale" is not understood
        config.json:9:2
      9 |  "logit_scale": 0.5
        |  ^^^^^^^^^^^^^
      Hint: If it has no effect on inference, remove it; docs/import.md lists the keys that phdc reads and ignores."
    `);
  });

  it("that are needed are named when they are missing", () => {
    expect(report(`{ "model_type": "llama", "vocab_size": 96 }`)).toMatchInlineSnapshot(`
      "error[PHD0505]: The key "num_hidden_layers" is missing
        config.json:1:1
      1 | { "model_type": "llama", "vocab_size": 96 }
        | ^

      error[PHD0505]: The key "hidden_size" is missing
        config.json:1:1
      1 | { "model_type": "llama", "vocab_size": 96 }
        | ^

      error[PHD0505]: The key "num_attention_heads" is missing
        config.json:1:1
      1 | { "model_type": "llama", "vocab_size": 96 }
        | ^

      error[PHD0505]: The key "intermediate_size" is missing
        config.json:1:1
      1 | { "model_type": "llama", "vocab_size": 96 }
        | ^"
    `);
  });

  it("must have the right type", () => {
    expect(report({ hidden_size: "64", num_hidden_layers: 2.5, tie_word_embeddings: 1 })).toMatchInlineSnapshot(`
      "error[PHD0506]: "num_hidden_layers" must be a whole number, not 2.5
        config.json:6:23
      6 |  "num_hidden_layers": 2.5,
        |                       ^^^

      error[PHD0506]: "hidden_size" must be a whole number, not the text "64"
        config.json:4:17
      4 |  "hidden_size": "64",
        |                 ^^^^

      error[PHD0506]: "tie_word_embeddings" must be true or false, not 1
        config.json:8:25
      8 |  "tie_word_embeddings": 1
        |                         ^"
    `);
  });

  it("must be in range", () => {
    expect(report({ num_hidden_layers: 5000, head_dim: 512 })).toMatchInlineSnapshot(`
      "error[PHD0507]: "num_hidden_layers" is 5000, but must be from 1 to 4096
        config.json:6:23
      6 |  "num_hidden_layers": 5000,
        |                       ^^^^

      error[PHD0507]: "head_dim" is 512, but must be from 1 to 256
        config.json:8:14
      8 |  "head_dim": 512
        |              ^^^"
    `);
    expect(report({ hidden_size: 2048 })).toMatchInlineSnapshot(`
      "error[PHD0511]: The width of a head is unclear: 2048 / 4 is 512, and it may be at most 256
        config.json:4:17
      4 |  "hidden_size": 2048,
        |                 ^^^^
      Hint: Give an even "head_dim"."
    `);
    expect(report({ num_hidden_layers: 0, rms_norm_eps: 0 })).toMatchInlineSnapshot(`
      "error[PHD0507]: "num_hidden_layers" is 0, but must be from 1 to 4096
        config.json:6:23
      6 |  "num_hidden_layers": 0,
        |                       ^

      error[PHD0507]: "rms_norm_eps" is 0, but must be greater than 0
        config.json:8:18
      8 |  "rms_norm_eps": 0
        |                  ^"
    `);
  });
});

describe("a base model that phdc does not know", () => {
  it("has an unknown model_type", () => {
    expect(report({ model_type: "qwen4" })).toMatchInlineSnapshot(`
      "error[PHD0508]: The architecture "qwen4" is not known; import knows llama, qwen2, qwen3 and olmo2
        config.json:2:16
      2 |  "model_type": "qwen4",
        |                ^^^^^^^
      Hint: Did you mean "qwen2"?"
    `);
    expect(report({ model_type: "mamba" })).toMatchInlineSnapshot(`
      "error[PHD0508]: The architecture "mamba" is not known; import knows llama, qwen2, qwen3 and olmo2
        config.json:2:16
      2 |  "model_type": "mamba",
        |                ^^^^^^^
      Hint: Write the model in .phd, starting from the file in std/ that comes closest."
    `);
  });

  it("is no causal language model", () => {
    expect(report({ architectures: ["LlamaForSequenceClassification"] })).toMatchInlineSnapshot(`
      "error[PHD0509]: "LlamaForSequenceClassification" is no causal language model
        config.json:9:3
      9 |   "LlamaForSequenceClassification"
        |   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^"
    `);
  });

  it("is quantised", () => {
    expect(report({ quantization_config: { quant_method: "gptq", bits: 4 } })).toMatchInlineSnapshot(`
      "error[PHD0517]: The weights are quantised (gptq); phdc reads f32, f16 and bf16
        config.json:8:25
      8 |  "quantization_config": {
        |                         ^"
    `);
  });

  it("has another activation", () => {
    expect(report({ hidden_act: "gelu" })).toMatchInlineSnapshot(`
      "error[PHD0512]: The activation "gelu" is not supported; "hidden_act" may be silu or swish
        config.json:8:16
      8 |  "hidden_act": "gelu"
        |                ^^^^^^"
    `);
  });

  it("has heads that do not divide", () => {
    expect(report({ num_key_value_heads: 3 })).toMatchInlineSnapshot(`
      "error[PHD0510]: 4 attention heads cannot share 3 key/value heads evenly
        config.json:8:25
      8 |  "num_key_value_heads": 3
        |                         ^
        config.json:7:25
      7 |  "num_attention_heads": 4,
        |                         - heads that share them"
    `);
    expect(report({ num_attention_heads: 3 })).toMatchInlineSnapshot(`
      "error[PHD0511]: The width of a head is unclear: 64 does not divide by 3 heads
        config.json:4:17
      4 |  "hidden_size": 64,
        |                 ^^
      Hint: Give an even "head_dim"."
    `);
    expect(report({ head_dim: 7 })).toMatchInlineSnapshot(`
      "error[PHD0511]: The width of a head is unclear: 7 is odd, and rotary embedding turns pairs
        config.json:8:14
      8 |  "head_dim": 7
        |              ^
      Hint: Give an even "head_dim"."
    `);
  });

  it("turns only a part of each head", () => {
    expect(report({ partial_rotary_factor: 0.5 })).toMatchInlineSnapshot(`
      "error[PHD0518]: "partial_rotary_factor" is 0.5; phdc supports only 1
        config.json:8:27
      8 |  "partial_rotary_factor": 0.5
        |                           ^^^"
    `);
  });

  it("has biases that its architecture lacks, or lacks those that it has", () => {
    expect(report({ model_type: "qwen2", attention_bias: false })).toMatchInlineSnapshot(`
      "error[PHD0519]: "attention_bias" does not fit qwen2: its query, key and value projections always have a bias
        config.json:8:20
      8 |  "attention_bias": false
        |                    ^^^^^"
    `);
    expect(report({ model_type: "qwen3", mlp_bias: true })).toMatchInlineSnapshot(`
      "error[PHD0519]: "mlp_bias" does not fit qwen3: its feed-forward projections have none
        config.json:8:14
      8 |  "mlp_bias": true
        |              ^^^^"
    `);
  });
});

describe("RoPE", () => {
  it("scaled in an unknown way is refused", () => {
    expect(report({ rope_scaling: { rope_type: "yarn", factor: 4 } })).toMatchInlineSnapshot(`
      "error[PHD0515]: RoPE scaling "yarn" is not supported; it may be default, linear or llama3
        config.json:9:16
      9 |   "rope_type": "yarn",
        |                ^^^^^^"
    `);
  });

  it("scaled without saying how is refused", () => {
    expect(report({ rope_scaling: { factor: 4 } })).toMatchInlineSnapshot(`
      "error[PHD0505]: The key "rope_type" is missing from "rope_scaling"
        config.json:8:18
      8 |  "rope_scaling": {
        |                  ^"
    `);
    expect(
      report({ rope_scaling: { type: "llama3", factor: 8, low_freq_factor: 4, high_freq_factor: 1 } }),
    ).toMatchInlineSnapshot(`
      "error[PHD0507]: "rope_scaling.high_freq_factor" is 1, but must be greater than 4
        config.json:12:23
      12 |   "high_freq_factor": 1
         |                       ^

      error[PHD0505]: The key "original_max_position_embeddings" is missing from "rope_scaling"
        config.json:8:18
      8 |  "rope_scaling": {
        |                  ^"
    `);
  });

  it("given per layer type is refused", () => {
    expect(report({ rope_parameters: { full_attention: { rope_type: "default" } } })).toMatchInlineSnapshot(`
      "error[PHD0504]: The key "full_attention" in "rope_parameters" is not understood
        config.json:9:3
      9 |   "full_attention": {
        |   ^^^^^^^^^^^^^^^^
      Hint: If it has no effect on inference, remove it; docs/import.md lists the keys that phdc reads and ignores."
    `);
  });

  it("said twice must agree", () => {
    expect(
      report({ rope_theta: 1e4, rope_parameters: { rope_type: "default", rope_theta: 5e5 } }),
    ).toMatchInlineSnapshot(`
      "error[PHD0516]: "rope_theta" says 10000, "rope_parameters.rope_theta" says 500000
        config.json:8:16
       8 |  "rope_theta": 10000,
         |                ^^^^^
        config.json:11:17
      11 |   "rope_theta": 500000
         |                 ------ the newer form
      Hint: Remove the one that does not hold."
    `);
    expect(report({ rope_scaling: { type: "linear", rope_type: "llama3", factor: 2 } })).toContain("PHD0516");
  });
});

describe("sliding windows of the base model", () => {
  it("are refused where the architecture has none", () => {
    expect(report({ sliding_window: 128 })).toMatchInlineSnapshot(`
      "error[PHD0513]: "sliding_window" is 128, but llama has no sliding window
        config.json:8:20
      8 |  "sliding_window": 128
        |                    ^^^
      Hint: If no layer of the checkpoint uses a window, set the key to null; else state the predicate with --attend."
    `);
  });

  it("are refused under a variant that repeats", () => {
    const windowed = { model_type: "qwen2", use_sliding_window: true, sliding_window: 8, max_window_layers: 1 };
    expect(report({ ...windowed, phd: { variant: "phd", repeat: 2 } })).toMatchInlineSnapshot(`
      "error[PHD0513]: "sliding_window" is 8: it is honoured with the variant vanilla only
        config.json:9:20
      9 |  "sliding_window": 8,
        |                    ^
      Hint: If no layer of the checkpoint uses a window, set the key to null; else state the predicate with --attend."
    `);
    expect(report(windowed)).toBe("");
  });

  it("are refused when the layer types contradict them", () => {
    expect(
      report({ model_type: "qwen2", layer_types: ["full_attention", "sliding_attention", "full_attention"] }),
    ).toMatchInlineSnapshot(`
      "error[PHD0513]: "layer_types" has "sliding_attention", but "use_sliding_window" is not true
        config.json:8:17
      8 |  "layer_types": [
        |                 ^
      Hint: If no layer of the checkpoint uses a window, set the key to null; else state the predicate with --attend."
    `);
    expect(report({ layer_types: ["full_attention"] })).toMatchInlineSnapshot(`
      "error[PHD0514]: "layer_types" has 1 entries for 3 layers
        config.json:8:17
      8 |  "layer_types": [
        |                 ^
        config.json:6:23
      6 |  "num_hidden_layers": 3,
        |                       - the number of layers"
    `);
    expect(report({ layer_types: ["full_attention", "linear_attention", "full_attention"] })).toMatchInlineSnapshot(`
      "error[PHD0514]: The layer type "linear_attention" is not understood; a layer may be "full_attention" or "sliding_attention"
        config.json:10:3
      10 |   "linear_attention",
         |   ^^^^^^^^^^^^^^^^^^"
    `);
  });
});

describe("the phd block", () => {
  it("names its choices", () => {
    expect(
      report({ phd: { variant: "phd-csw", repeat: 2, window_unit: "token", positions: "each" } }),
    ).toMatchInlineSnapshot(`
      "error[PHD0520]: "phd-csw" is no variant; it may be vanilla, naive, phd, phd-swa or phd-cswa
        config.json:9:14
      9 |   "variant": "phd-csw",
        |              ^^^^^^^^^
      Hint: Did you mean "phd-cswa"?

      error[PHD0520]: "token" is no window_unit; it may be tokens or positions
        config.json:11:18
      11 |   "window_unit": "token",
         |                  ^^^^^^^
      Hint: Did you mean "tokens"?

      error[PHD0520]: "each" is no positions; it may be shared or interleaved
        config.json:12:16
      12 |   "positions": "each"
         |                ^^^^^^"
    `);
  });

  it("has no other keys", () => {
    expect(report({ phd: { variant: "phd", repeats: 2 } })).toMatchInlineSnapshot(`
      "error[PHD0504]: The key "repeats" in "phd" is not understood
        config.json:10:3
      10 |   "repeats": 2
         |   ^^^^^^^^^
      Hint: Did you mean "repeat"?"
    `);
  });

  it("must say the window and the chunk of its variant", () => {
    expect(report({ phd: { variant: "phd-cswa", repeat: 2 } })).toMatchInlineSnapshot(`
      "error[PHD0521]: Variant phd-cswa needs a window
        config.json:9:14
      9 |   "variant": "phd-cswa",
        |              ^^^^^^^^^^
      Hint: Give "window" in the phd block, or --window.

      error[PHD0521]: Variant phd-cswa needs a chunk
        config.json:9:14
      9 |   "variant": "phd-cswa",
        |              ^^^^^^^^^^
      Hint: Give "chunk" in the phd block, or --chunk."
    `);
  });

  it("must not give a variant what it does not have", () => {
    expect(report({ phd: { variant: "phd", repeat: 2, chunk: 32 } })).toMatchInlineSnapshot(`
      "error[PHD0522]: Variant phd has no chunk
        config.json:11:12
      11 |   "chunk": 32
         |            ^^
        config.json:9:14
       9 |   "variant": "phd",
         |              ----- the variant
      Hint: Use phd-cswa, or take it away with --chunk none."
    `);
    expect(report({ phd: { variant: "vanilla", repeat: 3 } })).toMatchInlineSnapshot(`
      "error[PHD0523]: Variant vanilla does not repeat, but repeat is 3
        config.json:10:13
      10 |   "repeat": 3
         |             ^
        config.json:9:14
       9 |   "variant": "vanilla",
         |              --------- the variant
      Hint: Give --repeat 1, or another variant."
    `);
  });

  it("must have counts that a model can have", () => {
    expect(report({ phd: { variant: "phd-swa", repeat: 0, window: -1 } })).toMatchInlineSnapshot(`
      "error[PHD0507]: "phd.repeat" is 0, but must be from 1 to 1024
        config.json:10:13
      10 |   "repeat": 0,
         |             ^

      error[PHD0507]: "phd.window" is -1, but must be at least 0
        config.json:11:13
      11 |   "window": -1
         |             ^^"
    `);
  });
});

describe("flags", () => {
  it("override the block key by key, and what then contradicts is shown in both places", () => {
    expect(
      report({ phd: { variant: "phd-cswa", repeat: 3, window: 16, chunk: 32 } }, { variant: "phd-swa" }),
    ).toMatchInlineSnapshot(`
      "error[PHD0522]: Variant phd-swa has no chunk
        config.json:12:12
      12 |   "chunk": 32
         |            ^^
        command line:1:1
       1 | --variant phd-swa
         | ----------------- the variant
      Hint: Use phd-cswa, or take it away with --chunk none."
    `);
    expect(report({ phd: { variant: "phd", repeat: 3 } }, { variant: "vanilla" })).toMatchInlineSnapshot(`
      "error[PHD0523]: Variant vanilla does not repeat, but repeat is 3
        config.json:10:13
      10 |   "repeat": 3
         |             ^
        command line:1:1
       1 | --variant vanilla
         | ----------------- the variant
      Hint: Give --repeat 1, or another variant."
    `);
  });

  it("cannot name a variant beside a predicate of one's own", () => {
    expect(report({}, { attend: "phd(q, k)", repeat: 2, variant: "phd", chunk: 4 })).toMatchInlineSnapshot(`
      "error[PHD0524]: --attend and --variant cannot be given together
        command line:1:1
      1 | --variant phd
        | ^^^^^^^^^^^^^
      Hint: Write the bound into the predicate, and drop --variant.

      error[PHD0524]: --attend and --chunk cannot be given together
        command line:1:1
      1 | --chunk 4
        | ^^^^^^^^^
      Hint: Write the bound into the predicate, and drop --chunk."
    `);
  });
});
