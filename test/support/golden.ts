/** Golden cases of the shared material: models with random weights and the logits of their dense float64 forward pass. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { WeightSource } from "../../src/interpret/graph/weights.js";
import { memorySource } from "../../src/runtime/byte-source.js";
import { isFloatDtype, toF32 } from "../../src/runtime/dtype.js";
import { readSafetensorsHeader } from "../../src/runtime/safetensors.js";
import { predicateOf } from "./predicates.js";
import { plainFrequencies, type TransformerShape } from "./transformer.js";

export const goldenFolder = join(import.meta.dirname, "../../../shared/golden");
export const goldenCases = existsSync(goldenFolder) ? readdirSync(goldenFolder).sort() : [];

export interface GoldenCase {
  readonly shape: TransformerShape;
  readonly weights: WeightSource;
  readonly ids: readonly number[];
  /** [ids, vocab]. */
  readonly logits: Float32Array;
}

export async function loadGolden(name: string): Promise<GoldenCase> {
  const folder = join(goldenFolder, name);
  const config = JSON.parse(readFileSync(join(folder, "config.json"), "utf8")) as Config;
  const model = await readTensors(join(folder, "model.safetensors"));
  const golden = await readTensors(join(folder, "golden.safetensors"));
  const doubles = new Map<string, Float64Array>();
  return {
    shape: shapeOf(config),
    weights: (tensor) => {
      const { bytes, shape } = model.get(tensor) ?? raise(`no tensor ${tensor}`);
      if (!doubles.has(tensor)) doubles.set(tensor, Float64Array.from(toF32(bytes, "F32")));
      return { data: doubles.get(tensor)!, shape };
    },
    ids: [...new Int32Array(golden.get("input_ids")!.bytes.slice().buffer)],
    logits: toF32(golden.get("logits")!.bytes, "F32"),
  };
}

async function readTensors(path: string) {
  const bytes = new Uint8Array(readFileSync(path));
  const header = await readSafetensorsHeader(memorySource(bytes, path));
  return new Map(
    header.tensors.map(({ name, dtype, shape, offset, byteLength }) => {
      if (dtype !== "I32" && !isFloatDtype(dtype)) raise(`${name} is ${dtype}`);
      return [name, { shape, bytes: bytes.subarray(offset, offset + byteLength) }] as const;
    }),
  );
}

function raise(message: string): never {
  throw new Error(message);
}

interface Config {
  readonly model_type: string;
  readonly vocab_size: number;
  readonly num_hidden_layers: number;
  readonly hidden_size: number;
  readonly num_attention_heads: number;
  readonly num_key_value_heads: number;
  readonly head_dim: number;
  readonly intermediate_size: number;
  readonly rms_norm_eps: number;
  readonly rope_theta: number;
  readonly rope_scaling?: Record<string, number>;
  readonly tie_word_embeddings: boolean;
  readonly phd: {
    readonly variant: string;
    readonly repeat: number;
    readonly window?: number;
    readonly window_unit?: "tokens" | "positions";
    readonly chunk?: number;
    readonly positions?: "shared" | "interleaved";
  };
}

function shapeOf(config: Config): TransformerShape {
  const { variant, repeat, window, window_unit, chunk, positions } = config.phd;
  const type = config.model_type;
  const headDim = config.head_dim;
  const base = plainFrequencies(headDim, config.rope_theta);
  return {
    vocab: config.vocab_size,
    layers: config.num_hidden_layers,
    dim: config.hidden_size,
    heads: config.num_attention_heads,
    kvHeads: config.num_key_value_heads,
    headDim,
    ffn: config.intermediate_size,
    copies: repeat,
    predicate: predicateOf({ variant, copies: repeat, window, unit: window_unit, chunk }),
    positions,
    epsilon: config.rms_norm_eps,
    frequencies: config.rope_scaling === undefined ? base : scaledFrequencies(base, config.rope_scaling),
    bias: type === "qwen2",
    queryKeyNorm: type === "qwen3" ? "head" : type === "olmo2" ? "row" : undefined,
    postNorm: type === "olmo2",
    tied: config.tie_word_embeddings,
  };
}

/** Llama 3's scaling: long wavelengths are slowed by `factor`, short ones stay, those between are blended. */
function scaledFrequencies(base: readonly number[], scaling: Record<string, number>): number[] {
  const {
    factor,
    low_freq_factor: low,
    high_freq_factor: high,
    original_max_position_embeddings: context,
  } = scaling as {
    factor: number;
    low_freq_factor: number;
    high_freq_factor: number;
    original_max_position_embeddings: number;
  };
  return base.map((frequency) => {
    const wavelength = (2 * Math.PI) / frequency;
    if (wavelength > context / low) return frequency / factor;
    if (wavelength < context / high) return frequency;
    const smooth = (context / wavelength - low) / (high - low);
    return ((1 - smooth) * frequency) / factor + smooth * frequency;
  });
}
