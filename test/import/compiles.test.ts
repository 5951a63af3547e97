/** Imported models of every kind compile, and their caches give what the dense forward pass gives. */
import { expect, it } from "vitest";
import { seededElements, tensorsOf } from "../../src/backends/host/package-files/seeded-weights.js";
import { compileSource } from "../../src/compile.js";
import { renderDiagnostics } from "../../src/diagnostics/render-terminal.js";
import { importModel } from "../../src/import/import-model.js";
import type { PhdOverrides } from "../../src/import/read-phd.js";
import { createCpuSession, denseForward, type WeightSource } from "../../src/interpret/graph/index.js";
import { portableCapabilities } from "../../src/ir/kernel/capabilities.js";

const base = {
  model_type: "llama",
  vocab_size: 16,
  hidden_size: 8,
  intermediate_size: 12,
  num_hidden_layers: 3,
  num_attention_heads: 2,
  num_key_value_heads: 1,
};
const windowed = { use_sliding_window: true, sliding_window: 4, max_window_layers: 1 };

it.each<[string, Record<string, unknown>, PhdOverrides]>([
  ["biases on attention and feed-forward", { attention_bias: true, mlp_bias: true }, {}],
  ["biases on normed heads", { model_type: "qwen3", attention_bias: true }, { variant: "phd", repeat: 2 }],
  ["biases on normed rows", { model_type: "olmo2", attention_bias: true }, {}],
  ["feed-forward biases only", { mlp_bias: true }, { variant: "naive", repeat: 2 }],
  ["a sliding window from layer 1", { model_type: "qwen2", ...windowed }, {}],
  ["a sliding window in every layer", { model_type: "qwen3", ...windowed, max_window_layers: 0 }, {}],
  [
    "a window in positions and interleaved RoPE",
    {},
    { variant: "phd-swa", repeat: 3, window: 2, window_unit: "positions", positions: "interleaved" },
  ],
  ["chunks of one", {}, { variant: "phd-cswa", repeat: 2, window: 4, chunk: 1 }],
  ["a window of nothing", {}, { variant: "phd-swa", repeat: 2, window: 0 }],
  [
    "a predicate of one's own",
    {},
    { repeat: 3, attend: "phd(q, k) or k.copy == 2 and q.copy > 1 and k.pos < q.pos and q.pos - k.pos < 3" },
  ],
  [
    "linear RoPE scaling and tied embeddings",
    { rope_scaling: { type: "linear", factor: 2 }, tie_word_embeddings: true },
    {},
  ],
])("%s", (_, config, overrides) => {
  const { text } = importModel(
    { name: "config.json", text: JSON.stringify({ ...base, ...config }) },
    "tiny",
    overrides,
  );
  const { program, diagnostics } = compileSource(
    { name: "tiny.phd", text: text! },
    { target: "webgpu", dtype: "f32", capabilities: portableCapabilities },
  );
  expect(renderDiagnostics(diagnostics)).toBe("");
  const { graph, manifest } = program!;

  const shapes = new Map(tensorsOf(manifest).map((tensor) => [tensor.name, tensor]));
  const weights: WeightSource = (name) => {
    const tensor = shapes.get(name)!;
    return { data: Float64Array.from(seededElements(7, tensor)), shape: tensor.shape };
  };
  const ids = Array.from({ length: 14 }, (_, index) => (index * 5) % base.vocab_size);
  const dense = denseForward(graph, weights, ids);
  const at = (position: number) => dense.slice(position * base.vocab_size, (position + 1) * base.vocab_size);
  const session = createCpuSession(graph, weights);
  expect(session.prefill([ids.slice(0, 6)])[0]).toEqual(at(5));
  for (let position = 6; position < ids.length; position++) {
    expect(session.decode([ids[position]!])[0]).toEqual(at(position));
  }
});
