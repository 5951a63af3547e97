/**
 * Models that the benchmark knows by name: the paper's two, and small ones for software adapters. They have shapes and no weights.
 *
 * Each comes as two families. `olmo2` is what the paper trained: norms behind the products. `llama` has its norms before them, as most
 * models that other engines run; comparisons with those use it.
 */
import type { Diagnostic } from "../diagnostics/diagnostic.js";
import { importModel } from "../import/import-model.js";
import type { Variant } from "../import/model-config.js";
import type { SourceFile } from "../source/source-file.js";
import { shapeSizes } from "./shape-names.js";

/** How tokens are repeated and who sees whom. */
export interface Repetition {
  readonly variant: Variant;
  /** K. */
  readonly copies: number;
  /** In hidden tokens. */
  readonly window: number;
  /** In positions. */
  readonly chunk: number;
}

/** Whether a variant of the library has a window and a chunk; with one copy it has neither. */
export function boundsOf({ variant, copies }: Pick<Repetition, "variant" | "copies">): {
  readonly window: boolean;
  readonly chunk: boolean;
} {
  const windowed = copies > 1 && (variant === "phd-swa" || variant === "phd-cswa");
  return { window: windowed, chunk: windowed && variant === "phd-cswa" };
}

/** The `config.json` of a named shape, without a `phd` block. */
export function shapeConfig(name: string): Readonly<Record<string, unknown>> {
  const [family, ...rest] = name.split("-");
  const found = shapeSizes[rest.join("-")];
  if (found === undefined) throw new Error(`no shape is named ${name}`);
  return {
    model_type: family,
    vocab_size: found.vocab,
    hidden_size: found.dim,
    intermediate_size: found.ffn,
    num_hidden_layers: found.layers,
    num_attention_heads: found.heads,
    num_key_value_heads: found.kvHeads,
    max_position_embeddings: 4096,
    rms_norm_eps: 1e-6,
    rope_theta: 500000,
    tie_word_embeddings: true,
  };
}

/** The model of a named shape, as `phdc import` writes it. */
export function shapeSource(
  name: string,
  repetition: Repetition,
): { source: SourceFile } | { wrong: readonly Diagnostic[] } {
  const { variant, copies, window, chunk } = repetition;
  const has = boundsOf(repetition);
  const phd = {
    variant,
    repeat: copies,
    ...(has.window && { window }),
    ...(has.chunk && { chunk }),
  };
  // One copy of every token, whatever the variant, is the model without repetition.
  const config = { ...shapeConfig(name), ...(copies > 1 && variant !== "vanilla" && { phd }) };
  const { text, diagnostics } = importModel({ name: "config.json", text: JSON.stringify(config) }, name);
  return text === undefined ? { wrong: diagnostics } : { source: { name: `${name}.phd`, text } };
}
