// A model of the Llama family as an ONNX graph, with the operators that the usual exporters write for it: one product for queries, keys
// and values, GroupQueryAttention that rotates and keeps the cache, SkipSimplifiedLayerNormalization for every residual connection.
import { model, node, tensor, value } from "./onnx.mjs";

const contrib = "com.microsoft";

/**
 * The graph of a `config.json`. `weight(name)` gives a tensor's values, [rows][columns] as in a checkpoint; `positions` is the length of
 * the rotation tables. Inputs: `input_ids`, `seqlens_k` (positions known, less one), `total_sequence_length`, and the caches, of one size
 * from the first step on. Outputs: the logits of the last position, and the caches.
 */
export async function llamaGraph(config, weight, positions) {
  const { hidden_size: dim, num_hidden_layers: layers, num_attention_heads: heads } = config;
  const { num_key_value_heads: kvHeads, intermediate_size: ffn, vocab_size: vocab } = config;
  const head = dim / heads;
  const epsilon = { float: config.rms_norm_eps };
  const nodes = [];
  const weights = [];
  const inputs = [
    value("input_ids", "i64", ["batch", "tokens"]),
    value("seqlens_k", "i32", ["batch"]),
    value("total_sequence_length", "i32", [1]),
  ];
  const outputs = [value("logits", "f32", ["batch", vocab])];

  const vector = async (name) => {
    const values = await weight(name);
    weights.push(tensor(name, "f32", [values.length], values));
    return name;
  };
  /** Matrices that multiply the same rows, side by side: [columns][rows of all], which is how MatMul takes them. */
  const matrix = async (name, sources, rows, columns) => {
    const stacked = await Promise.all(sources.map(weight));
    const turned = new Float32Array(rows * columns);
    let first = 0;
    for (const source of stacked) {
      const own = source.length / columns;
      for (let row = 0; row < own; row++)
        for (let column = 0; column < columns; column++)
          turned[column * rows + first + row] = source[row * columns + column];
      first += own;
    }
    weights.push(tensor(name, "f32", [columns, rows], turned));
    return name;
  };
  const multiply = (input, by, output) => nodes.push(node("MatMul", [input, by], [output]));

  const embedding = await weight("model.embed_tokens.weight");
  weights.push(tensor("embedding", "f32", [vocab, dim], embedding));
  rotationTables(weights, positions, head, config.rope_theta);
  nodes.push(node("Gather", ["embedding", "input_ids"], ["embedded"], { axis: 0 }));

  let residual = "embedded";
  let branch;
  /** The norm of the residual stream, after what the last branch adds to it. */
  const norm = async (name, scale) => {
    const own = await vector(scale);
    if (branch === undefined) {
      nodes.push(node("SimplifiedLayerNormalization", [residual, own], [name], { axis: -1, epsilon, stash_type: 1 }));
      return name;
    }
    const sum = `${name}.residual`;
    nodes.push(
      node("SkipSimplifiedLayerNormalization", [residual, branch, own], [name, "", "", sum], { epsilon }, contrib),
    );
    residual = sum;
    return name;
  };

  for (let layer = 0; layer < layers; layer++) {
    const of = (name) => `model.layers.${layer}.${name}`;
    const before = await norm(of("before"), of("input_layernorm.weight"));
    const products = ["q_proj", "k_proj", "v_proj"].map((name) => of(`self_attn.${name}.weight`));
    multiply(before, await matrix(of("qkv"), products, dim + 2 * kvHeads * head, dim), of("queries"));
    const cache = (side) => [`past.${layer}.${side}`, `present.${layer}.${side}`];
    const [[pastKey, key], [pastValue, presentValue]] = [cache("key"), cache("value")];
    const cacheShape = ["batch", kvHeads, "positions", head];
    inputs.push(value(pastKey, "f32", cacheShape), value(pastValue, "f32", cacheShape));
    outputs.push(value(key, "f32", cacheShape), value(presentValue, "f32", cacheShape));
    nodes.push(
      node(
        "GroupQueryAttention",
        [of("queries"), "", "", pastKey, pastValue, "seqlens_k", "total_sequence_length", "cosines", "sines"],
        [of("attended"), key, presentValue],
        {
          ...{ num_heads: heads, kv_num_heads: kvHeads, do_rotary: 1, rotary_interleaved: 0 },
          scale: { float: 1 / Math.sqrt(head) },
        },
        contrib,
      ),
    );
    branch = of("projected");
    multiply(of("attended"), await matrix(of("o"), [of("self_attn.o_proj.weight")], dim, dim), branch);

    const middle = await norm(of("middle"), of("post_attention_layernorm.weight"));
    multiply(middle, await matrix(of("gate"), [of("mlp.gate_proj.weight")], ffn, dim), of("gated"));
    multiply(middle, await matrix(of("up"), [of("mlp.up_proj.weight")], ffn, dim), of("raised"));
    nodes.push(node("Sigmoid", [of("gated")], [of("sigmoid")]));
    nodes.push(node("Mul", [of("gated"), of("sigmoid")], [of("activated")]));
    nodes.push(node("Mul", [of("activated"), of("raised")], [of("combined")]));
    branch = of("lowered");
    multiply(of("combined"), await matrix(of("down"), [of("mlp.down_proj.weight")], dim, ffn), branch);
  }
  const last = await norm("last", "model.norm.weight");
  // Only the last position predicts; exporters that serve a prompt cut the head down to it.
  weights.push(tensor("last_position", "i64", [], BigInt64Array.of(-1n)));
  nodes.push(node("Gather", [last, "last_position"], ["predicting"], { axis: 1 }));
  multiply("predicting", await matrix("head", ["model.embed_tokens.weight"], vocab, dim), "logits");
  return model({ name: "llama", nodes, inputs, outputs, weights });
}

/** Cosines and sines of every position: [positions][half a head]. */
function rotationTables(weights, positions, head, theta) {
  const half = head / 2;
  const angle = (at) => Math.floor(at / half) * theta ** (-(at % half) / half);
  for (const [name, turn] of [
    ["cosines", Math.cos],
    ["sines", Math.sin],
  ]) {
    const values = Float32Array.from({ length: positions * half }, (_, at) => turn(angle(at)));
    weights.push(tensor(name, "f32", [positions, half], values));
  }
}
