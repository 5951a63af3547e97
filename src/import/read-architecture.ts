/** The base model of a `config.json`: sizes, norms, biases, activation, rotary embedding. */
import { importDiagnostics } from "../diagnostics/catalogue-import.js";
import { label } from "../diagnostics/define.js";
import { nearestName } from "../diagnostics/suggest.js";
import { widestHead } from "../dsl/check/attention-builtins.js";
import { mostLayers } from "../dsl/check/layers.js";
import { type ConfigReader, describeNode, positionCount, size } from "./config-reader.js";
import { type Architecture, architectures, type ModelConfig } from "./model-config.js";
import { readRope } from "./read-rope.js";
import { readSliding } from "./read-sliding.js";

/** So that the rows of all of them together are a size, too. */
const mostHeads = 2 ** 16;

/** What each architecture assumes where the file is silent, and which biases it has. */
const traits: Readonly<
  Record<
    Architecture,
    { readonly epsilon: number; readonly attentionBias: "optional" | "fixed"; readonly mlpBias: boolean }
  >
> = {
  llama: { epsilon: 1e-6, attentionBias: "optional", mlpBias: true },
  qwen2: { epsilon: 1e-6, attentionBias: "fixed", mlpBias: false },
  qwen3: { epsilon: 1e-6, attentionBias: "optional", mlpBias: false },
  olmo2: { epsilon: 1e-5, attentionBias: "optional", mlpBias: false },
};

/** The gate's activation: names of one function. */
const activations = ["silu", "swish"];

/** Keys that are fine at one value and unsupported at any other. */
const fixedValues: readonly (readonly [key: string, accepted: boolean])[] = [
  ["is_encoder_decoder", false],
  ["add_cross_attention", false],
  ["rope_interleaved", false],
  ["use_mrope", false],
  ["is_llama_config", true],
];

/** Reads everything but the `phd` block. Undefined after an error; all errors are reported. */
export function readArchitecture(config: ConfigReader): ModelConfig | undefined {
  const architecture = readModelType(config);
  readHead(config);
  readQuantization(config);

  const vocab = config.requiredNumber("vocab_size", size);
  const layers = config.requiredNumber("num_hidden_layers", { ...size, max: mostLayers });
  const dim = config.requiredNumber("hidden_size", size);
  const heads = config.requiredNumber("num_attention_heads", { ...size, max: mostHeads });
  const ffn = config.requiredNumber("intermediate_size", size);
  const kvHeads = config.number("num_key_value_heads", size) ?? heads;
  const headDim = readHeadDim(config, dim, heads);
  const epsilon = config.number("rms_norm_eps", { above: 0, max: 1 });
  const maxPositions = config.number("max_position_embeddings", positionCount);
  const rope = readRope(config);
  const tied = config.boolean("tie_word_embeddings") ?? false;
  readActivation(config);
  for (const [key, accepted] of fixedValues) {
    const value = config.boolean(key);
    if (value !== undefined && value !== accepted) {
      config.collector.add(
        importDiagnostics.mustBe({ key, value: String(value), accepted: String(accepted) }, label(config.place(key))),
      );
    }
  }
  if (heads !== undefined && kvHeads !== undefined && heads % kvHeads !== 0) {
    config.collector.add(
      importDiagnostics.headsDoNotDivide(
        { heads, kvHeads },
        label(config.place("num_key_value_heads")),
        label(config.place("num_attention_heads"), "heads that share them"),
      ),
    );
  }

  // What follows depends on the architecture; the keys count as read even when it is unknown.
  const attentionBias = config.boolean("attention_bias");
  const mlpBias = config.boolean("mlp_bias") ?? false;
  const sliding = readSliding(config, architecture ?? "qwen2", layers);
  if (architecture === undefined) return undefined;
  checkBiases(config, architecture, attentionBias, mlpBias);

  const sizes = { vocab, layers, dim, heads, kvHeads, headDim, ffn };
  if (rope === undefined || Object.values(sizes).includes(undefined)) return undefined;
  return {
    ...(sizes as { readonly [Name in keyof typeof sizes]: number }),
    architecture,
    epsilon: epsilon ?? traits[architecture].epsilon,
    maxPositions,
    rope,
    tied,
    attentionBias: traits[architecture].attentionBias === "optional" && (attentionBias ?? false),
    mlpBias,
    sliding,
  };
}

function readModelType(config: ConfigReader): Architecture | undefined {
  const name = config.requiredString("model_type");
  if (name === undefined) return undefined;
  const found = architectures.find((architecture) => architecture === name);
  if (found === undefined) {
    const nearest = nearestName(name, architectures);
    config.collector.add(
      importDiagnostics.unknownModelType(
        { name, known: architectures, ...(nearest === undefined ? {} : { nearest }) },
        label(config.place("model_type")),
      ),
    );
  }
  return found;
}

/** `architectures` names the Python class that wrote the weights, and with it the head they carry. */
function readHead(config: ConfigReader): void {
  const classes = config.strings("architectures") ?? [];
  if (classes.length === 0 || classes.some(({ value }) => value.endsWith("ForCausalLM"))) return;
  const [first] = classes;
  config.collector.add(importDiagnostics.notLanguageModel({ name: first!.value }, label(first!.span)));
}

function readQuantization(config: ConfigReader): void {
  const node = config.get("quantization_config");
  if (node === undefined) return;
  const method = node.kind === "object" ? node.entries.find(({ key }) => key === "quant_method")?.value : undefined;
  config.collector.add(
    importDiagnostics.quantized(
      { method: method?.kind === "string" ? method.value : describeNode(node) },
      label(node.span),
    ),
  );
}

function readHeadDim(config: ConfigReader, dim: number | undefined, heads: number | undefined): number | undefined {
  const given = config.number("head_dim", { ...size, max: widestHead });
  if (config.get("head_dim") === undefined && (dim === undefined || heads === undefined)) return undefined;
  if (config.get("head_dim") !== undefined && given === undefined) return undefined;
  const headDim = given ?? dim! / heads!;
  const reason = !Number.isInteger(headDim)
    ? `${dim} does not divide by ${heads} heads`
    : headDim % 2 === 1
      ? `${headDim} is odd, and rotary embedding turns pairs`
      : headDim > widestHead
        ? `${dim} / ${heads} is ${headDim}, and it may be at most ${widestHead}`
        : undefined;
  if (reason === undefined) return headDim;
  config.collector.add(
    importDiagnostics.headWidthUnclear(
      { reason },
      label(config.place(given === undefined ? "hidden_size" : "head_dim")),
    ),
  );
  return undefined;
}

function readActivation(config: ConfigReader): void {
  const name = config.string("hidden_act");
  if (name === undefined || activations.includes(name)) return;
  config.collector.add(
    importDiagnostics.activationUnsupported({ name, known: activations }, label(config.place("hidden_act"))),
  );
}

function checkBiases(
  config: ConfigReader,
  architecture: Architecture,
  attentionBias: boolean | undefined,
  mlpBias: boolean,
): void {
  const report = (key: string, reason: string) =>
    config.collector.add(importDiagnostics.biasUnsupported({ key, architecture, reason }, label(config.place(key))));
  if (traits[architecture].attentionBias === "fixed" && attentionBias === false) {
    report("attention_bias", "its query, key and value projections always have a bias");
  }
  if (mlpBias && !traits[architecture].mlpBias) {
    report("mlp_bias", "its feed-forward projections have none");
  }
}
