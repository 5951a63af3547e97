/** PHD05xx: a `config.json` that phdc cannot or must not turn into a model. */
import { defineDiagnostics } from "./define.js";

/** `or`-list for messages: `a, b or c`. */
function oneOf(choices: readonly string[]): string {
  return choices.length < 2 ? choices.join("") : `${choices.slice(0, -1).join(", ")} or ${choices.at(-1)}`;
}

export const importDiagnostics = defineDiagnostics({
  notJson: {
    code: "PHD0501",
    title: "The configuration is not JSON",
    explanation:
      "`phdc import` reads the `config.json` of a Hugging Face folder. The text must be strict JSON: no comments, no trailing commas, no NaN, no numbers beyond a double, no more than 64 levels of brackets. Other tools would refuse the file as well.",
    example: `{ "model_type": "llama", }`,
    message: (d: { expected: string; found: string }) => `Expected ${d.expected}, found ${d.found}`,
    hint: () => "The file must be strict JSON: no comments, no trailing commas.",
  },
  notObject: {
    code: "PHD0502",
    title: "The configuration is not a JSON object",
    explanation: "A `config.json` is one JSON object, `{ … }`, whose keys describe the model.",
    example: `[ "llama" ]`,
    message: (d: { found: string }) => `The configuration is ${d.found}, not an object`,
  },
  duplicateKey: {
    code: "PHD0503",
    title: "A key occurs twice",
    explanation:
      "JSON readers differ in which of two equal keys they believe. phdc believes neither: remove the one that does not hold.",
    example: `{ "hidden_size": 64, "hidden_size": 128 }`,
    message: (d: { key: string }) => `The key "${d.key}" occurs twice`,
  },
  unknownKey: {
    code: "PHD0504",
    title: "A key is not understood",
    explanation:
      "A key of `config.json` that phdc neither reads nor knows to be without effect may change what the model computes. Importing it anyway could give a model that runs and is wrong, so it is an error. docs/import.md lists the keys that are read and the keys that are ignored.",
    example: `{ "model_type": "llama", "logit_scale": 0.5 }`,
    message: (d: { key: string; within?: string; nearest?: string }) =>
      `The key "${d.key}"${d.within === undefined ? "" : ` in "${d.within}"`} is not understood`,
    hint: (d) =>
      d.nearest === undefined
        ? "If it has no effect on inference, remove it; docs/import.md lists the keys that phdc reads and ignores."
        : `Did you mean "${d.nearest}"?`,
  },
  missingKey: {
    code: "PHD0505",
    title: "A key is missing",
    explanation: "The model cannot be described without this key, and no default is safe to assume.",
    example: `{ "model_type": "llama" }`,
    message: (d: { key: string; within?: string }) =>
      `The key "${d.key}" is missing${d.within === undefined ? "" : ` from "${d.within}"`}`,
  },
  wrongType: {
    code: "PHD0506",
    title: "A value has the wrong type",
    explanation:
      "The key is known, but its value is of a type that it cannot have, such as text where a number belongs.",
    example: `{ "hidden_size": "64" }`,
    message: (d: { key: string; expected: string; found: string }) =>
      `"${d.key}" must be ${d.expected}, not ${d.found}`,
  },
  outOfRange: {
    code: "PHD0507",
    title: "A number is out of range",
    explanation: "The value is a number of the right kind, but none that a model can have.",
    example: `{ "num_hidden_layers": 0 }`,
    message: (d: { key: string; value: number; range: string }) => `"${d.key}" is ${d.value}, but must be ${d.range}`,
  },
  unknownModelType: {
    code: "PHD0508",
    title: "The architecture is not known",
    explanation:
      "`model_type` names the architecture. phdc's library holds llama, qwen2, qwen3 and olmo2. Another architecture can be written in `.phd` itself: start from the file in `std/` that comes closest.",
    example: `{ "model_type": "mamba" }`,
    message: (d: { name: string; known: readonly string[]; nearest?: string }) =>
      `The architecture "${d.name}" is not known; import knows ${d.known.slice(0, -1).join(", ")} and ${d.known.at(-1)}`,
    hint: (d) =>
      d.nearest === undefined
        ? "Write the model in .phd, starting from the file in std/ that comes closest."
        : `Did you mean "${d.nearest}"?`,
  },
  notLanguageModel: {
    code: "PHD0509",
    title: "The checkpoint is no causal language model",
    explanation:
      "`architectures` says which head the weights carry. phdc compiles the ones that predict the next token, whose names end in `ForCausalLM`; classification and embedding models have other weights after the last layer.",
    example: `{ "architectures": ["LlamaForSequenceClassification"] }`,
    message: (d: { name: string }) => `"${d.name}" is no causal language model`,
  },
  headsDoNotDivide: {
    code: "PHD0510",
    title: "Heads cannot be shared evenly",
    explanation:
      "With grouped queries every key/value head serves the same number of query heads, so `num_attention_heads` is a multiple of `num_key_value_heads`.",
    example: `{ "num_attention_heads": 4, "num_key_value_heads": 3 }`,
    message: (d: { heads: number; kvHeads: number }) =>
      `${d.heads} attention heads cannot share ${d.kvHeads} key/value heads evenly`,
  },
  headWidthUnclear: {
    code: "PHD0511",
    title: "The width of a head is unclear",
    explanation:
      "Without `head_dim` a head is hidden_size / num_attention_heads wide, and that must be a whole number. Rotary embedding turns pairs, so the width must also be even. It may be at most 256.",
    example: `{ "hidden_size": 100, "num_attention_heads": 3 }`,
    message: (d: { reason: string }) => `The width of a head is unclear: ${d.reason}`,
    hint: () => 'Give an even "head_dim".',
  },
  activationUnsupported: {
    code: "PHD0512",
    title: "The activation is not supported",
    explanation:
      "`hidden_act` is the function on the gate of the feed-forward network. The architectures that phdc imports use `silu`.",
    example: `{ "hidden_act": "gelu" }`,
    message: (d: { name: string; known: readonly string[] }) =>
      `The activation "${d.name}" is not supported; "hidden_act" may be ${oneOf(d.known)}`,
  },
  slidingWindowUnsupported: {
    code: "PHD0513",
    title: "Sliding-window attention of the base model is not supported here",
    explanation:
      "`sliding_window` with `use_sliding_window`, or `sliding_attention` in `layer_types`, limits how far back some layers look. phdc imports it for vanilla models only: how such a window should combine with the repeated copies of a PHD variant is not defined. Write the predicate you mean with `--attend`.",
    example: `{ "sliding_window": 4096, "use_sliding_window": true, "phd": { "variant": "phd", "repeat": 2 } }`,
    message: (d: { reason: string }) => d.reason,
    hint: () =>
      "If no layer of the checkpoint uses a window, set the key to null; else state the predicate with --attend.",
  },
  layerTypesWrong: {
    code: "PHD0514",
    title: "The layer types are not understood",
    explanation:
      "`layer_types` has one entry per layer. phdc understands `full_attention` and `sliding_attention`; linear or recurrent layers are other architectures.",
    example: `{ "num_hidden_layers": 2, "layer_types": ["full_attention", "linear_attention"] }`,
    message: (d: { reason: string }) => d.reason,
  },
  ropeTypeUnsupported: {
    code: "PHD0515",
    title: "The RoPE scaling is not supported",
    explanation:
      "Rotary embedding may be scaled in several ways. phdc imports `default` (none), `linear` and `llama3`. Ignoring another one would give a model that works on short texts and fails on long ones.",
    example: `{ "rope_scaling": { "rope_type": "yarn", "factor": 4 } }`,
    message: (d: { name: string; known: readonly string[] }) =>
      `RoPE scaling "${d.name}" is not supported; it may be ${oneOf(d.known)}`,
  },
  saidTwice: {
    code: "PHD0516",
    title: "Two keys contradict each other",
    explanation:
      "Some facts can be written under an older and a newer key (`rope_theta` and `rope_parameters.rope_theta`, `type` and `rope_type`). When both are there they must agree.",
    example: `{ "rope_theta": 10000, "rope_parameters": { "rope_type": "default", "rope_theta": 500000 } }`,
    message: (d: { first: string; second: string; firstValue: string; secondValue: string }) =>
      `"${d.first}" says ${d.firstValue}, "${d.second}" says ${d.secondValue}`,
    hint: () => "Remove the one that does not hold.",
  },
  quantized: {
    code: "PHD0517",
    title: "The checkpoint is quantised",
    explanation:
      "`quantization_config` says that the weights are stored packed. phdc reads f32, f16 and bf16 weights; import the checkpoint that the quantised one was made from.",
    example: `{ "quantization_config": { "quant_method": "gptq", "bits": 4 } }`,
    message: (d: { method: string }) => `The weights are quantised (${d.method}); phdc reads f32, f16 and bf16`,
  },
  mustBe: {
    code: "PHD0518",
    title: "A key has a value that phdc does not honour",
    explanation:
      "Some keys change the computation only when they differ from their usual value (`partial_rotary_factor` from 1, `is_encoder_decoder` from false). The usual value is accepted; any other is an error rather than ignored.",
    example: `{ "partial_rotary_factor": 0.5 }`,
    message: (d: { key: string; value: string; accepted: string }) =>
      `"${d.key}" is ${d.value}; phdc supports only ${d.accepted}`,
  },
  biasUnsupported: {
    code: "PHD0519",
    title: "The biases do not fit the architecture",
    explanation:
      "`attention_bias` puts biases on the query, key, value and output projections of llama, qwen3 and olmo2. In qwen2 the first three always have a bias and the last one never has.",
    example: `{ "model_type": "qwen2", "attention_bias": false }`,
    message: (d: { key: string; architecture: string; reason: string }) =>
      `"${d.key}" does not fit ${d.architecture}: ${d.reason}`,
  },
  unknownChoice: {
    code: "PHD0520",
    title: "A choice is not known",
    explanation:
      "The `phd` block names its choices: `variant` is vanilla, naive, phd, phd-swa or phd-cswa; `window_unit` is tokens or positions; `positions` is shared or interleaved.",
    example: `{ "phd": { "variant": "phd-csw", "repeat": 2 } }`,
    message: (d: { key: string; value: string; choices: readonly string[]; nearest?: string }) =>
      `"${d.value}" is no ${d.key}; it may be ${oneOf(d.choices)}`,
    hint: (d) => (d.nearest === undefined ? undefined : `Did you mean "${d.nearest}"?`),
  },
  variantNeeds: {
    code: "PHD0521",
    title: "The variant needs another key",
    explanation: "`phd-swa` needs a `window`; `phd-cswa` needs a `window` and a `chunk`. Neither has a default.",
    example: `{ "phd": { "variant": "phd-cswa", "repeat": 2, "window": 16 } }`,
    message: (d: { variant: string; key: string }) => `Variant ${d.variant} needs a ${d.key}`,
    hint: (d) => `Give "${d.key}" in the phd block, or --${d.key}.`,
  },
  variantHasNo: {
    code: "PHD0522",
    title: "The variant has no such thing",
    explanation:
      "A `window` belongs to `phd-swa` and `phd-cswa`, a `chunk` to `phd-cswa` alone. Given with another variant they would have no effect, so one of the two is a mistake. Flags override the block key by key; `--window none` and `--chunk none` take away what the block gives.",
    example: `phdc import model --variant phd --repeat 2 --chunk 32`,
    message: (d: { variant: string; key: string }) => `Variant ${d.variant} has no ${d.key}`,
    hint: (d) => {
      const wide = d.key === "chunk" ? "phd-cswa" : "phd-swa or phd-cswa";
      return `Use ${wide}, or take it away with --${d.key === "window_unit" ? "window" : d.key} none.`;
    },
  },
  vanillaRepeats: {
    code: "PHD0523",
    title: "Vanilla does not repeat",
    explanation:
      "The vanilla transformer has one copy of every token, so `repeat` is 1. To repeat tokens plainly, use `naive`; to repeat them as PHD does, `phd`, `phd-swa` or `phd-cswa`.",
    example: `{ "phd": { "variant": "vanilla", "repeat": 3 } }`,
    message: (d: { repeat: number }) => `Variant vanilla does not repeat, but repeat is ${d.repeat}`,
    hint: () => "Give --repeat 1, or another variant.",
  },
  attendExcludes: {
    code: "PHD0524",
    title: "A predicate of one's own replaces the variant",
    explanation:
      "`--attend` states the whole attend relation, so there is nothing left for `--variant`, `--window`, `--window-unit` and `--chunk` to say. `--repeat` and `--positions` still apply.",
    example: `phdc import model --repeat 2 --attend 'phd(q, k)' --variant phd`,
    message: (d: { flag: string }) => `--attend and ${d.flag} cannot be given together`,
    hint: (d) => `Write the bound into the predicate, and drop ${d.flag}.`,
  },
});
