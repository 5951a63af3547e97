/**
 * The `.phd` text of an imported model.
 *
 * Everything that a checkpoint fixes becomes a parameter, everything that an architecture or a variant fixes is a call into the library,
 * so that the text is as short as what is particular about the model, and every number in it can be changed with `--set`.
 */
import { unreachable } from "../diagnostics/diagnostic.js";
import type { AttendConfig, ModelConfig, PhdConfig, RopeScaling } from "./model-config.js";
import { printBlocks } from "./print-blocks.js";

export interface PrintedModel {
  readonly text: string;
  /** Where the predicate stands in the text, for reports about one that the user wrote. */
  readonly predicateStart: number;
}

/** Prints a model under a name that `modelName` made. `origin` says in a comment where it comes from. */
export function printModel(name: string, origin: string, model: ModelConfig, phd: PhdConfig): PrintedModel {
  const blocks = printBlocks(model);
  const uses = ["phd", model.architecture, "rope"].map((file) => `use std.${file}`);
  const predicate = printPredicate(phd.attend);
  const head = [
    `// ${origin}${model.maxPositions === undefined ? "" : `, trained on up to ${model.maxPositions} positions`}.`,
    ...uses,
    "",
    ...blocks.functions,
    `model ${name} {`,
    ...printParams(model, phd).map((line) => `  ${line}`),
    "  require heads mod kv_heads == 0",
    "",
    "  repeat K",
    "  attend q -> k when ",
  ].join("\n");
  const tail = [
    "",
    `  rotate t by ${phd.positions === "shared" ? "t.pos" : "stream(t)"}, pair i at ${printFrequency(model.rope.scaling)}`,
    "",
    "  forward(ids: [positions] int) -> [positions, vocab] {",
    `    var x = repeat(embed(ids, weight "model.embed_tokens" [vocab, dim]))`,
    `    for l in layers within "model.layers.{l}" {`,
    ...blocks.layer.map((line) => `      ${line}`),
    "    }",
    `    predict copy K: unembed(rms_norm(x, weight "model.norm" [dim], eps = eps), vocab${model.tied ? ", tied = true" : ""})`,
    "  }",
    "}",
    "",
  ].join("\n");
  return { text: head + predicate + tail, predicateStart: head.length };
}

/** A model's name from a folder's: `phd-cswa-3-16-32` becomes `PhdCswa_3_16_32`. */
export function modelName(folder: string): string {
  const words = folder.split(/[^A-Za-z0-9]+/).filter((word) => word !== "");
  const joined = words.reduce((name, word) => {
    const separator = /\d$/.test(name) && /^\d/.test(word) ? "_" : /^\d/.test(word) && name !== "" ? "_" : "";
    return `${name}${separator}${word.charAt(0).toUpperCase()}${word.slice(1)}`;
  }, "");
  return /^[A-Za-z]/.test(joined) ? joined : `Model${joined}`;
}

function printParams(model: ModelConfig, phd: PhdConfig): readonly string[] {
  const { attend } = phd;
  const sizes = {
    vocab: model.vocab,
    layers: model.layers,
    dim: model.dim,
    heads: model.heads,
    kv_heads: model.kvHeads,
    head_dim: model.headDim,
    ffn: model.ffn,
  };
  const repetition = {
    K: phd.repeat,
    ...("window" in attend ? { W: attend.window } : {}),
    ...("chunk" in attend ? { C: attend.chunk } : {}),
  };
  const sliding = model.sliding === undefined ? [] : [`param window = ${model.sliding.window}`];
  return [
    `param ${printList(sizes)}`,
    `param ${printList(repetition)}`,
    ...sliding,
    `param eps = ${printReal(model.epsilon)}, theta = ${printReal(model.rope.theta)}`,
  ];
}

function printList(values: Readonly<Record<string, number>>): string {
  return Object.entries(values)
    .map(([name, value]) => `${name} = ${value}`)
    .join(", ");
}

function printPredicate(attend: AttendConfig): string {
  switch (attend.kind) {
    case "vanilla":
      return "vanilla(q, k)";
    case "naive":
      return "naive(q, k)";
    case "phd":
      return "phd(q, k)";
    case "phd-swa":
      return attend.unit === "tokens" ? "phd_swa(q, k, W)" : "phd_swa_positions(q, k, W)";
    case "phd-cswa":
      return attend.unit === "tokens" ? "phd_cswa(q, k, W, C)" : "phd_cswa_positions(q, k, W, C)";
    case "predicate":
      return attend.text.text;
    default:
      return unreachable(attend);
  }
}

function printFrequency(scaling: RopeScaling): string {
  switch (scaling.kind) {
    case "none":
      return "plain_frequency(i, head_dim, theta)";
    case "linear":
      return `linear_frequency(i, head_dim, theta, ${printReal(scaling.factor)})`;
    case "llama3": {
      const { factor, lowFactor, highFactor, originalPositions } = scaling;
      const numbers = [factor, lowFactor, highFactor].map(printReal).join(", ");
      return `llama3_frequency(i, head_dim, theta, ${numbers}, ${originalPositions})`;
    }
    default:
      return unreachable(scaling);
  }
}

/** A real in the language's spelling: with a point or an exponent, exactly the same double when it is read again. */
function printReal(value: number): string {
  const text = String(value);
  if (/^\d+$/.test(text)) return `${text}.0`;
  // Small numbers are easier to read as 1e-5 than as 0.00001.
  return value < 1e-3 ? value.toExponential() : text.replace("e+", "e");
}
