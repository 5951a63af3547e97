/** Builds the graphs of Llama-like models by hand, as lowering does from the library, and random weights for them. */

import type { WeightSource, WeightTensor } from "../../src/interpret/graph/weights.js";
import { type BlockBuilder, GraphBuilder } from "../../src/ir/graph/builder.js";
import type { Graph, RopeIndex, ValueId } from "../../src/ir/graph/ops.js";
import { eachOp } from "../../src/ir/graph/walk.js";
import type { Predicate } from "../../src/ir/relation/predicate.js";
import { tensorName } from "../../src/runtime/packing.js";

export interface TransformerShape {
  readonly vocab: number;
  readonly layers: number;
  readonly dim: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly ffn: number;
  readonly copies: number;
  readonly predicate: Predicate;
  /** A second predicate for layers whose index is odd. */
  readonly oddPredicate?: Predicate;
  readonly epsilon?: number;
  readonly theta?: number;
  readonly frequencies?: readonly number[];
  /** pos, or pos · K + copy - 1. */
  readonly positions?: "shared" | "interleaved";
  readonly bias?: boolean;
  /** Norm of queries and keys: per head, over the whole row, or none. */
  readonly queryKeyNorm?: "head" | "row";
  /** Norms behind attention and FFN instead of before. */
  readonly postNorm?: boolean;
  readonly tied?: boolean;
}

export function plainFrequencies(headDim: number, theta: number): number[] {
  return Array.from({ length: headDim / 2 }, (_, i) => theta ** ((-2 * i) / headDim));
}

export function buildTransformer(shape: TransformerShape): Graph {
  const { vocab, layers, dim, heads, kvHeads, headDim, ffn, copies, epsilon = 1e-5 } = shape;
  const frequencies = shape.frequencies ?? plainFrequencies(headDim, shape.theta ?? 10000);
  const index: RopeIndex =
    shape.positions === "interleaved"
      ? { byPos: { op: "mul", args: ["pos", copies] }, byCopy: { op: "sub", args: ["copy", 1] } }
      : { byPos: "pos", byCopy: 0 };
  const graph = new GraphBuilder();
  const { top } = graph;

  const layer = (body: BlockBuilder, x: ValueId, attend: number): ValueId => {
    const norm = (input: ValueId, name: string, width = dim) =>
      body.add(
        { kind: "rms-norm", input, weight: body.weight(`model.layers.{l}.${name}.weight`, [width]), epsilon },
        "normed",
      );
    const linear = (input: ValueId, name: string, rows: number, columns: number, bias = false) =>
      body.add(
        {
          kind: "linear",
          input,
          weight: body.weight(`model.layers.{l}.${name}.weight`, [rows, columns]),
          ...(bias && { bias: body.weight(`model.layers.{l}.${name}.bias`, [rows]) }),
        },
        name.split(".").at(-1),
      );
    const plus = (left: ValueId, right: ValueId) => body.add({ kind: "binary", function: "add", left, right }, "x");
    const headsOf = (input: ValueId, name: string, count: number, rope: boolean): ValueId => {
      const whole = shape.queryKeyNorm === "row" && rope ? norm(input, `self_attn.${name}`, count * headDim) : input;
      const split = body.add({ kind: "split-heads", input: whole, heads: count }, name[0]);
      const normed = shape.queryKeyNorm === "head" && rope ? norm(split, `self_attn.${name}`, headDim) : split;
      return rope
        ? body.add({ kind: "rope", input: normed, frequencies, index, amplitude: 1 }, `${name[0]}_rope`)
        : normed;
    };

    const h = shape.postNorm ? x : norm(x, "input_layernorm");
    const query = headsOf(linear(h, "self_attn.q_proj", heads * headDim, dim, shape.bias), "q_norm", heads, true);
    const key = headsOf(linear(h, "self_attn.k_proj", kvHeads * headDim, dim, shape.bias), "k_norm", kvHeads, true);
    const value = headsOf(linear(h, "self_attn.v_proj", kvHeads * headDim, dim, shape.bias), "v", kvHeads, false);
    const scores = body.add({ kind: "attention", query, key, value, attend, scale: headDim ** -0.5 });
    const o = linear(body.add({ kind: "merge-heads", input: scores }), "self_attn.o_proj", dim, heads * headDim);
    const x1 = plus(x, shape.postNorm ? norm(o, "post_attention_layernorm") : o);

    const m = shape.postNorm ? x1 : norm(x1, "post_attention_layernorm");
    const gate = body.add({ kind: "unary", function: "silu", input: linear(m, "mlp.gate_proj", ffn, dim) }, "gate");
    const up = linear(m, "mlp.up_proj", ffn, dim);
    const act = body.add({ kind: "binary", function: "multiply", left: gate, right: up }, "act");
    const down = linear(act, "mlp.down_proj", dim, ffn);
    return plus(x1, shape.postNorm ? norm(down, "post_feedforward_layernorm") : down);
  };

  const ids = top.input();
  const table = top.weight("model.embed_tokens.weight", [vocab, dim]);
  const embedded = top.add({ kind: "embed", ids, table }, "x");
  const x = top.add({ kind: "repeat-tokens", input: embedded, copies }, "x");
  const classes = shape.oddPredicate === undefined ? [0] : [0, 1];
  const [leaving] = top.layers({
    count: layers,
    inputs: [x],
    names: ["x"],
    classes: classes.map((attend) => ({
      name: classes.length === 1 ? "every layer" : `l mod 2 == ${attend}`,
      build: (body, [entering]) => [layer(body, entering!, attend)],
    })),
    classOf: Array.from({ length: layers }, (_, l) => l % classes.length),
  });
  const normed = top.add(
    { kind: "rms-norm", input: leaving!, weight: top.weight("model.norm.weight", [dim]), epsilon },
    "normed",
  );
  const predicted = top.add({ kind: "select-copy", input: normed, copy: copies }, "predicted");
  const head = shape.tied
    ? top.weight("model.embed_tokens.weight", [vocab, dim])
    : top.weight("lm_head.weight", [vocab, dim]);
  const logits = top.add({ kind: "linear", input: predicted, weight: head }, "logits");
  return graph.finish([logits], {
    name: "transformer",
    parameters: { vocab, layers, dim, K: copies },
    copies,
    predictCopy: copies,
    attends: [shape.predicate, shape.oddPredicate].flatMap((predicate) => (predicate ? [{ predicate }] : [])),
  });
}

/** Weights for every tensor of a graph, normal with a deviation of about 1/sqrt(in); norms are near 1. The same for the same seed. */
export function randomWeights(graph: Graph, seed = 1): WeightSource {
  const tensors = new Map<string, WeightTensor>();
  const random = normals(seed);
  const layers = graph.body.ops.find((op) => op.kind === "layers");
  for (const op of eachOp(graph)) {
    if (op.kind !== "weight") continue;
    for (let l = 0; l < (layers?.kind === "layers" ? layers.count : 1); l++) {
      const name = tensorName(op.tensor, l);
      if (tensors.has(name)) continue;
      const shape = op.results[0]!.type.shape.map(Number);
      const isNorm = shape.length === 1 && !name.endsWith(".bias");
      const deviation = isNorm ? 0.1 : shape.length === 1 ? 0.3 : 1 / Math.sqrt(shape[1]!);
      const data = Float64Array.from(
        { length: shape.reduce((a, b) => a * b, 1) },
        () => (isNorm ? 1 : 0) + deviation * random(),
      );
      tensors.set(name, { data, shape });
    }
  }
  return (name) => {
    const tensor = tensors.get(name);
    if (tensor === undefined) throw new Error(`no tensor ${name}`);
    return tensor;
  };
}

/** Box–Muller over a 32-bit generator. */
function normals(seed: number): () => number {
  let state = seed >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}
