import { expect, it } from "vitest";
import { DiagnosticCollector } from "../../src/diagnostics/diagnostic.js";
import { parseFile } from "../../src/dsl/syntax/parse.js";
import { importModel } from "../../src/import/import-model.js";
import { reduceSizes } from "../../src/package/reduce-sizes.js";

/** The paper's 1.2B shape. */
const large = {
  model_type: "olmo2",
  vocab_size: 100278,
  hidden_size: 2048,
  intermediate_size: 8192,
  num_hidden_layers: 16,
  num_attention_heads: 32,
  num_key_value_heads: 8,
  head_dim: 64,
};

function reduced(config: Record<string, unknown>) {
  const { text } = importModel({ name: "config.json", text: JSON.stringify({ ...large, ...config }) }, "large");
  return reduceSizes(parseFile({ name: "large.phd", text: text! }, new DiagnosticCollector())!);
}

it("reduces sizes, and keeps repetition, window, chunk and requirements", () => {
  const phd = { variant: "phd-cswa", repeat: 3, window: 16, chunk: 32 };
  expect(reduced({ phd })).toMatchInlineSnapshot(`
    {
      "dim": 64,
      "ffn": 64,
      "head_dim": 16,
      "heads": 16,
      "kv_heads": 2,
      "layers": 2,
      "vocab": 64,
    }
  `);
});

it("keeps enough layers for every class of layers", () => {
  const windowed = { model_type: "qwen2", use_sliding_window: true, sliding_window: 8, max_window_layers: 3 };
  expect(reduced(windowed)).toMatchObject({ layers: 4 });
});

it("reduces a deep model to as few layers as a shallow one", () => {
  expect(reduced({ num_hidden_layers: 64 })).toEqual(reduced({ num_hidden_layers: 16 }));
});
