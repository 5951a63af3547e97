import { describe, expect, it } from "vitest";
import { renderDiagnostics } from "../../src/diagnostics/render-terminal.js";
import { importModel } from "../../src/import/import-model.js";
import { modelName } from "../../src/import/print-model.js";
import type { PhdOverrides } from "../../src/import/read-phd.js";

const base = {
  model_type: "llama",
  vocab_size: 96,
  hidden_size: 64,
  intermediate_size: 112,
  num_hidden_layers: 4,
  num_attention_heads: 4,
  num_key_value_heads: 2,
};

/** The text that an import prints; import itself checks that it is a model. */
function imported(config: Record<string, unknown>, overrides: PhdOverrides = {}): string {
  const result = importModel({ name: "config.json", text: JSON.stringify({ ...base, ...config }) }, "tiny", overrides);
  expect(renderDiagnostics(result.diagnostics)).toBe("");
  return result.text!;
}

function line(text: string, containing: string): string {
  return text
    .split("\n")
    .find((candidate) => candidate.includes(containing))!
    .trim();
}

describe("an imported model", () => {
  it("is a page that states what the checkpoint fixes", () => {
    const phd = { variant: "phd-cswa", repeat: 3, window: 16, chunk: 32 };
    expect(imported({ max_position_embeddings: 512, tie_word_embeddings: true, phd })).toMatchInlineSnapshot(`
      "// Imported from tiny/config.json, trained on up to 512 positions.
      use std.phd
      use std.llama
      use std.rope

      model Tiny {
        param vocab = 96, layers = 4, dim = 64, heads = 4, kv_heads = 2, head_dim = 16, ffn = 112
        param K = 3, W = 16, C = 32
        param eps = 1e-6, theta = 10000.0
        require heads mod kv_heads == 0

        repeat K
        attend q -> k when phd_cswa(q, k, W, C)
        rotate t by t.pos, pair i at plain_frequency(i, head_dim, theta)

        forward(ids: [positions] int) -> [positions, vocab] {
          var x = repeat(embed(ids, weight "model.embed_tokens" [vocab, dim]))
          for l in layers within "model.layers.{l}" {
            x = llama_block(x, heads, kv_heads, head_dim, ffn, eps = eps)
          }
          predict copy K: unembed(rms_norm(x, weight "model.norm" [dim], eps = eps), vocab, tied = true)
        }
      }
      "
    `);
  });

  it("names the rule of its variant, and the unit of its window", () => {
    const attend = (phd: Record<string, unknown>) => line(imported({ phd }), "attend");
    expect([
      attend({}),
      attend({ variant: "naive", repeat: 2 }),
      attend({ variant: "phd", repeat: 2 }),
      attend({ variant: "phd-swa", repeat: 2, window: 4 }),
      attend({ variant: "phd-swa", repeat: 2, window: 4, window_unit: "positions" }),
      attend({ variant: "phd-cswa", repeat: 2, window: 4, chunk: 8 }),
      attend({ variant: "phd-cswa", repeat: 2, window: 4, chunk: 8, window_unit: "positions" }),
    ]).toMatchInlineSnapshot(`
      [
        "attend q -> k when vanilla(q, k)",
        "attend q -> k when naive(q, k)",
        "attend q -> k when phd(q, k)",
        "attend q -> k when phd_swa(q, k, W)",
        "attend q -> k when phd_swa_positions(q, k, W)",
        "attend q -> k when phd_cswa(q, k, W, C)",
        "attend q -> k when phd_cswa_positions(q, k, W, C)",
      ]
    `);
  });

  it("turns copies apart when positions interleave", () => {
    expect(line(imported({ phd: { variant: "phd", repeat: 2, positions: "interleaved" } }), "rotate")).toBe(
      "rotate t by stream(t), pair i at plain_frequency(i, head_dim, theta)",
    );
  });

  it("takes over flags key by key", () => {
    const block = { variant: "phd-cswa", repeat: 3, window: 16, window_unit: "positions", chunk: 32 };
    const text = imported({ phd: block }, { window: 8, repeat: 2 });
    expect(line(text, "param K")).toBe("param K = 2, W = 8, C = 32");
    expect(line(imported({ phd: block }, { variant: "phd-swa", chunk: "none" }), "attend")).toBe(
      "attend q -> k when phd_swa_positions(q, k, W)",
    );
    expect(line(imported({ phd: block }, { variant: "phd", chunk: "none", window: "none" }), "attend")).toBe(
      "attend q -> k when phd(q, k)",
    );
  });

  it("takes over a predicate of one's own", () => {
    const text = imported({ phd: { variant: "phd", repeat: 2 } }, { attend: "original(q, k) or k.pos == q.pos" });
    expect(line(text, "attend")).toBe("attend q -> k when original(q, k) or k.pos == q.pos");
    expect(line(text, "param K")).toBe("param K = 2");
  });

  it("scales RoPE as the file says, in the older and the newer spelling", () => {
    const llama3 = { factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 32 };
    const rotate = (config: Record<string, unknown>) => line(imported(config), "rotate");
    expect([
      rotate({ rope_scaling: null }),
      rotate({ rope_theta: 5e5, rope_scaling: { type: "linear", factor: 2.5 } }),
      rotate({ rope_scaling: { rope_type: "llama3", ...llama3 } }),
      rotate({ rope_parameters: { rope_type: "llama3", rope_theta: 5e5, ...llama3 } }),
    ]).toMatchInlineSnapshot(`
      [
        "rotate t by t.pos, pair i at plain_frequency(i, head_dim, theta)",
        "rotate t by t.pos, pair i at linear_frequency(i, head_dim, theta, 2.5)",
        "rotate t by t.pos, pair i at llama3_frequency(i, head_dim, theta, 8.0, 1.0, 4.0, 32)",
        "rotate t by t.pos, pair i at llama3_frequency(i, head_dim, theta, 8.0, 1.0, 4.0, 32)",
      ]
    `);
    expect(line(imported({ rope_parameters: { rope_theta: 5e5 } }), "theta =")).toBe(
      "param eps = 1e-6, theta = 500000.0",
    );
  });

  it("keeps the sliding window of the base model where it has one", () => {
    const windowed = { model_type: "qwen2", use_sliding_window: true, sliding_window: 8 };
    const types = (...letters: string[]) =>
      letters.map((letter) => (letter === "s" ? "sliding_attention" : "full_attention"));
    const condition = (config: Record<string, unknown>) => line(imported({ ...windowed, ...config }), "if l");
    expect([
      condition({ max_window_layers: 1 }),
      condition({ layer_types: types("s", "f", "s", "f") }),
      condition({ layer_types: types("s", "s", "s", "f") }),
      condition({ layer_types: types("s", "f", "f", "f") }),
    ]).toMatchInlineSnapshot(`
      [
        "if l >= 1 {",
        "if l mod 2 == 0 {",
        "if l != 3 {",
        "if l == 0 {",
      ]
    `);
    expect(imported({ ...windowed, max_window_layers: 0 })).toContain(
      "      attend q -> k when vanilla(q, k) and q.pos - k.pos < window\n      x = qwen2_block",
    );
    expect(imported({ ...windowed, use_sliding_window: false })).not.toContain("window");
  });

  it("spells out biases that the library's blocks do not have", () => {
    expect(imported({ attention_bias: true, mlp_bias: true })).toMatchInlineSnapshot(`
      "// Imported from tiny/config.json.
      use std.phd
      use std.llama
      use std.rope

      fn biased_attention(x: [tokens, dim], heads: int, kv_heads: int, head_dim: int, eps: real) -> [tokens, dim] {
        let q = linear(x, weight "self_attn.q_proj" [heads * head_dim, dim], bias "self_attn.q_proj" [heads * head_dim])
        let k = linear(x, weight "self_attn.k_proj" [kv_heads * head_dim, dim], bias "self_attn.k_proj" [kv_heads * head_dim])
        let v = linear(x, weight "self_attn.v_proj" [kv_heads * head_dim, dim], bias "self_attn.v_proj" [kv_heads * head_dim])
        let q_heads = split(q, heads)
        let k_heads = split(k, kv_heads)
        let mixed = attention(rope(q_heads), rope(k_heads), split(v, kv_heads))
        return linear(merge(mixed), weight "self_attn.o_proj" [dim, heads * head_dim], bias "self_attn.o_proj" [dim])
      }

      fn biased_swiglu(x: [rows, dim], ffn: int) -> [rows, dim] {
        let gate = linear(x, weight "mlp.gate_proj" [ffn, dim], bias "mlp.gate_proj" [ffn])
        let up = linear(x, weight "mlp.up_proj" [ffn, dim], bias "mlp.up_proj" [ffn])
        return linear(silu(gate) * up, weight "mlp.down_proj" [dim, ffn], bias "mlp.down_proj" [dim])
      }

      fn biased_block(x: [tokens, dim], heads: int, kv_heads: int, head_dim: int, ffn: int, eps: real) -> [tokens, dim] {
        var y = x
        y += biased_attention(rms_norm(y, weight "input_layernorm" [dim], eps = eps), heads, kv_heads, head_dim, eps)
        y += biased_swiglu(rms_norm(y, weight "post_attention_layernorm" [dim], eps = eps), ffn)
        return y
      }

      model Tiny {
        param vocab = 96, layers = 4, dim = 64, heads = 4, kv_heads = 2, head_dim = 16, ffn = 112
        param K = 1
        param eps = 1e-6, theta = 10000.0
        require heads mod kv_heads == 0

        repeat K
        attend q -> k when vanilla(q, k)
        rotate t by t.pos, pair i at plain_frequency(i, head_dim, theta)

        forward(ids: [positions] int) -> [positions, vocab] {
          var x = repeat(embed(ids, weight "model.embed_tokens" [vocab, dim]))
          for l in layers within "model.layers.{l}" {
            x = biased_block(x, heads, kv_heads, head_dim, ffn, eps = eps)
          }
          predict copy K: unembed(rms_norm(x, weight "model.norm" [dim], eps = eps), vocab)
        }
      }
      "
    `);
    expect(imported({ model_type: "qwen3", attention_bias: true })).toContain(`bias "self_attn.o_proj" [dim]`);
    expect(imported({ model_type: "olmo2", attention_bias: true })).toContain(
      `weight "self_attn.k_norm" [kv_heads * head_dim]`,
    );
    expect(imported({ mlp_bias: true })).toContain(`llama_attention(rms_norm(`);
  });

  it("is named after its folder", () => {
    expect(["phd-cswa-3-16-32", "SmolLM2-135M", "1.2B", "", "модель"].map(modelName)).toMatchInlineSnapshot(`
      [
        "PhdCswa_3_16_32",
        "SmolLM2_135M",
        "Model1_2B",
        "Model",
        "Model",
      ]
    `);
  });
});

describe("a predicate of one's own", () => {
  const refusal = (attend: string) => {
    const result = importModel({ name: "config.json", text: JSON.stringify(base) }, "tiny", { attend, repeat: 2 });
    expect(result.text).toBeUndefined();
    return renderDiagnostics(result.diagnostics);
  };

  it("is refused where it stands on the command line when it is no expression", () => {
    expect(refusal("k.pos <= q.pos }")).toMatchInlineSnapshot(`
      "error[PHD0010]: Nothing is open that \`}\` could close
        --attend:1:16
      1 | k.pos <= q.pos }
        |                ^"
    `);
    expect(refusal("")).toMatchInlineSnapshot(`
      "error[PHD0002]: Expected an expression, but found the end of the file
        --attend:1:1"
    `);
  });

  it("is refused when it uses names that the model does not have", () => {
    expect(refusal("phd_sw(q, k, 4)")).toMatchInlineSnapshot(`
      "error[PHD0102]: There is no function, index or rule called \`phd_sw\`
        --attend:1:1
      1 | phd_sw(q, k, 4)
        | ^^^^^^
      Hint: Did you mean \`phd_swa\`?"
    `);
  });

  it("is refused when it is no predicate", () => {
    expect(refusal("q.pos - k.pos")).toMatchInlineSnapshot(`
      "error[PHD0201]: This must be a condition on tokens, and is an integer that depends on tokens
        --attend:1:1
      1 | q.pos - k.pos
        | ^^^^^^^^^^^^^"
    `);
  });

  it("is refused when it lets a query see the future", () => {
    expect(refusal("k.pos <= q.pos + 1")).toMatchInlineSnapshot(`
      "error[PHD0401]: A query sees a key of a later step: query pos 0 copy 1 sees key pos 1 copy 1
        --attend:1:1
      1 | k.pos <= q.pos + 1
        | ^^^^^^^^^^^^^^^^^^ this lets the query see it
      Hint: Add \`and k.pos <= q.pos\`: a step cannot read what a later step writes."
    `);
  });
});
