/**
 * Blocks with biases where the library's have none (`attention_bias`, `mlp_bias`).
 *
 * They are rare, so the file spells them out instead of the library carrying every combination.
 */
import { InternalError } from "../diagnostics/diagnostic.js";
import type { Architecture, ModelConfig } from "./model-config.js";

/** The functions `biased_attention`, `biased_swiglu` where needed, and `biased_block`, as lines. */
export function printBiasedBlock(model: ModelConfig): readonly string[] {
  const attention = model.attentionBias
    ? { lines: [...printAttention(model.architecture), ""], call: "biased_attention" }
    : { lines: [], call: `${model.architecture}_attention` };
  const feedForward = model.mlpBias ? { lines: [...swiglu, ""], call: "biased_swiglu" } : { lines: [], call: "swiglu" };
  return [
    ...attention.lines,
    ...feedForward.lines,
    "fn biased_block(x: [tokens, dim], heads: int, kv_heads: int, head_dim: int, ffn: int, eps: real) -> [tokens, dim] {",
    "  var y = x",
    ...printBody(model, attention.call, feedForward.call).map((line) => `  ${line}`),
    "  return y",
    "}",
  ];
}

function printAttention(architecture: Architecture): readonly string[] {
  const projection = (name: string, rows: string) =>
    `linear(x, weight "self_attn.${name}_proj" [${rows}, dim], bias "self_attn.${name}_proj" [${rows}])`;
  return [
    "fn biased_attention(x: [tokens, dim], heads: int, kv_heads: int, head_dim: int, eps: real) -> [tokens, dim] {",
    `  let q = ${projection("q", "heads * head_dim")}`,
    `  let k = ${projection("k", "kv_heads * head_dim")}`,
    `  let v = ${projection("v", "kv_heads * head_dim")}`,
    ...printHeads(architecture).map((line) => `  ${line}`),
    "  let mixed = attention(rope(q_heads), rope(k_heads), split(v, kv_heads))",
    `  return linear(merge(mixed), weight "self_attn.o_proj" [dim, heads * head_dim], bias "self_attn.o_proj" [dim])`,
    "}",
  ];
}

/** Queries and keys as heads, with the architecture's norms. */
function printHeads(architecture: Architecture): readonly string[] {
  switch (architecture) {
    case "llama":
      return ["let q_heads = split(q, heads)", "let k_heads = split(k, kv_heads)"];
    case "qwen3":
      return [
        `let q_heads = rms_norm(split(q, heads), weight "self_attn.q_norm" [head_dim], eps = eps)`,
        `let k_heads = rms_norm(split(k, kv_heads), weight "self_attn.k_norm" [head_dim], eps = eps)`,
      ];
    case "olmo2":
      return [
        `let q_heads = split(rms_norm(q, weight "self_attn.q_norm" [heads * head_dim], eps = eps), heads)`,
        `let k_heads = split(rms_norm(k, weight "self_attn.k_norm" [kv_heads * head_dim], eps = eps), kv_heads)`,
      ];
    case "qwen2":
      throw new InternalError("the biases of qwen2 are part of the architecture");
  }
}

const swiglu = [
  "fn biased_swiglu(x: [rows, dim], ffn: int) -> [rows, dim] {",
  `  let gate = linear(x, weight "mlp.gate_proj" [ffn, dim], bias "mlp.gate_proj" [ffn])`,
  `  let up = linear(x, weight "mlp.up_proj" [ffn, dim], bias "mlp.up_proj" [ffn])`,
  `  return linear(silu(gate) * up, weight "mlp.down_proj" [dim, ffn], bias "mlp.down_proj" [dim])`,
  "}",
];

function printBody(model: ModelConfig, attention: string, feedForward: string): readonly string[] {
  // The library's llama attention has no norm of its own, hence no epsilon.
  const epsilon = attention === "llama_attention" ? "" : model.attentionBias ? ", eps" : ", eps = eps";
  const attend = (x: string) => `${attention}(${x}, heads, kv_heads, head_dim${epsilon})`;
  const norm = (x: string, name: string) => `rms_norm(${x}, weight "${name}" [dim], eps = eps)`;
  return model.architecture === "olmo2"
    ? [
        `y += ${norm(attend("y"), "post_attention_layernorm")}`,
        `y += ${norm(`${feedForward}(y, ffn)`, "post_feedforward_layernorm")}`,
      ]
    : [
        `y += ${attend(norm("y", "input_layernorm"))}`,
        `y += ${feedForward}(${norm("y", "post_attention_layernorm")}, ffn)`,
      ];
}
