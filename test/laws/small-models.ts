/** Random small models from `config.json` to a compiled program: every architecture, every variant, and variants that nobody named. */
import fc from "fast-check";
import { type CompileOptions, compileSource } from "../../src/compile.js";
import { DiagnosticCollector } from "../../src/diagnostics/diagnostic.js";
import { checkModel } from "../../src/dsl/check/check-model.js";
import { parseFile } from "../../src/dsl/syntax/parse.js";
import { importModel } from "../../src/import/import-model.js";
import { architectures, type Variant } from "../../src/import/model-config.js";
import { denseForward } from "../../src/interpret/graph/index.js";
import type { WeightSource } from "../../src/interpret/graph/weights.js";
import { ManifestRun, type ManifestRunOptions } from "../../src/interpret/kernel/run-manifest.js";
import type { Graph } from "../../src/ir/graph/ops.js";
import { portableCapabilities } from "../../src/ir/kernel/capabilities.js";
import type { Kernel } from "../../src/ir/kernel/kernel.js";
import { lowerModel } from "../../src/lower/lower-model.js";
import { textsOf } from "../../src/package/texts.js";
import { runPasses } from "../../src/passes/pass.js";
import { graphPipeline } from "../../src/passes/pipeline.js";
import { repeatTokens } from "../../src/passes/tokens/repeat-tokens.js";
import type { Manifest } from "../../src/runtime/manifest.js";
import type { SourceFile } from "../../src/source/source-file.js";
import { randomWeights } from "../support/transformer.js";

/** The `phd` block of a checkpoint, or a predicate of one's own. */
export interface PhdBlock {
  readonly variant: Variant;
  readonly repeat: number;
  readonly window?: number;
  readonly window_unit?: "tokens" | "positions";
  readonly chunk?: number;
  readonly positions?: "shared" | "interleaved";
  /** What `--attend` says in place of the variant. */
  readonly attend?: string;
}

/** The base model. */
export interface Base {
  readonly model_type: (typeof architectures)[number];
  readonly num_hidden_layers: number;
  readonly hidden_size: number;
  readonly num_attention_heads: number;
  readonly num_key_value_heads: number;
  readonly head_dim: number;
  readonly intermediate_size: number;
  readonly vocab_size: number;
  readonly tie_word_embeddings: boolean;
}

/** Sizes are odd where they can be, and no multiple of any tile. */
export const bases: fc.Arbitrary<Base> = fc
  .record({
    model_type: fc.constantFrom(...architectures),
    num_hidden_layers: fc.integer({ min: 1, max: 4 }),
    hidden_size: fc.constantFrom(5, 7, 8, 11, 13),
    heads: fc.constantFrom<readonly [heads: number, keyHeads: number]>([1, 1], [2, 1], [2, 2], [3, 1], [4, 2], [6, 3]),
    head_dim: fc.constantFrom(2, 4, 6, 10),
    intermediate_size: fc.constantFrom(3, 9, 14),
    vocab_size: fc.constantFrom(7, 10, 17),
    tie_word_embeddings: fc.boolean(),
  })
  .map(({ heads: [heads, keyHeads], ...rest }) => ({
    ...rest,
    num_attention_heads: heads,
    num_key_value_heads: keyHeads,
  }));

export const usualBase: Base = {
  model_type: "llama",
  num_hidden_layers: 2,
  hidden_size: 7,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 6,
  intermediate_size: 9,
  vocab_size: 11,
  tie_word_embeddings: false,
};

/** Relations that no library names: each a use of another corner of the predicate language. */
export const unnamed: readonly string[] = [
  // Hidden tokens look at every other original.
  "original(q, k) and (q.copy == 1 or k.pos mod 2 == 0) or own(q, k)",
  // A window of originals behind the first ones, which stay for ever.
  "own(q, k) or k.copy == 1 and k.pos < q.pos and (k.pos < 2 or q.pos - k.pos <= 3)",
  // Hidden tokens look at hidden tokens at distances that three divides.
  "phd(q, k) or earlier_hidden(q, k) and q.pos - k.pos <= 6 and (q.pos - k.pos) mod 3 == 0",
  // The previous chunk as well as the own.
  "phd(q, k) or earlier_hidden(q, k) and q.pos div 3 - k.pos div 3 <= 1",
  // Originals look at the last copy of earlier positions, so nothing can be left out of a prefill.
  "k.copy == K and k.pos < q.pos or own(q, k)",
  // Only some positions think.
  "phd(q, k) or earlier_hidden(q, k) and k.pos mod 4 == 0 and not (q.pos - k.pos > 5)",
];

const windows = fc.integer({ min: 0, max: 7 });
const units = fc.constantFrom("tokens" as const, "positions" as const);
const repeats = fc.integer({ min: 1, max: 5 });
const chunks = fc.integer({ min: 1, max: 7 });
const positionRules = fc.constantFrom("shared" as const, "interleaved" as const);

export const named: fc.Arbitrary<PhdBlock> = fc
  .record({
    variant: fc.constantFrom(
      "vanilla" as const,
      "naive" as const,
      "phd" as const,
      "phd-swa" as const,
      "phd-cswa" as const,
      "phd-cswa" as const,
    ),
    repeat: repeats,
    window: windows,
    window_unit: units,
    chunk: chunks,
    positions: positionRules,
  })
  .map((block) => blockOf(block.variant, block));

export const relations: fc.Arbitrary<PhdBlock> = fc.oneof(
  { arbitrary: named, weight: 4 },
  {
    arbitrary: fc.record({
      variant: fc.constant("phd" as const),
      repeat: fc.integer({ min: 2, max: 4 }),
      positions: positionRules,
      attend: fc.constantFrom(...unnamed),
    }),
    weight: 1,
  },
);

/** Keeps of a block what its variant has. */
export function blockOf(variant: Variant, block: Omit<PhdBlock, "variant">): PhdBlock {
  const { repeat, window = 0, window_unit = "tokens", chunk = 1, positions = "shared" } = block;
  const windowed = variant === "phd-swa" || variant === "phd-cswa";
  return {
    ...{ variant, repeat: variant === "vanilla" ? 1 : repeat, positions },
    ...(windowed && { window, window_unit }),
    ...(variant === "phd-cswa" && { chunk }),
  };
}

/** One relation of every kind, with its name. */
export const lawModels: readonly (readonly [string, PhdBlock])[] = [
  ["vanilla", blockOf("vanilla", { repeat: 1 })],
  ["naive", blockOf("naive", { repeat: 2, positions: "interleaved" })],
  ["PHD", blockOf("phd", { repeat: 3 })],
  ["PHD-SWA", blockOf("phd-swa", { repeat: 3, window: 4 })],
  ["PHD-SWA in positions", blockOf("phd-swa", { repeat: 3, window: 2, window_unit: "positions" })],
  ["PHD-SWA with W < K - 2", blockOf("phd-swa", { repeat: 5, window: 2 })],
  ["PHD-CSWA", blockOf("phd-cswa", { repeat: 3, window: 4, chunk: 4 })],
  [
    "PHD-CSWA with chunk and window that do not divide each other",
    blockOf("phd-cswa", { repeat: 4, window: 5, chunk: 3 }),
  ],
  ...unnamed.map((attend): readonly [string, PhdBlock] => [attend, { variant: "phd", repeat: 3, attend }]),
];

export const idLists = (least: number, most: number) =>
  fc.array(fc.nat({ max: 1000 }), { minLength: least, maxLength: most });

/** Model text as `import` prints it. */
export function sourceOf(base: Base, { attend, ...phd }: PhdBlock): SourceFile {
  const config = {
    ...base,
    rms_norm_eps: 1e-5,
    rope_theta: 100,
    hidden_act: "silu",
    phd: attend === undefined ? phd : undefined,
  };
  const overrides = attend === undefined ? {} : { attend, repeat: phd.repeat, positions: phd.positions ?? "shared" };
  const { text, diagnostics } = importModel({ name: "config.json", text: JSON.stringify(config) }, "small", overrides);
  if (text === undefined) throw new Error(diagnostics.map(({ message }) => message).join("; "));
  return { name: "small.phd", text };
}

/** A checked and lowered model; random weights for it, the same for models of the same tensors. */
export const lowerSmall = (base: Base, phd: PhdBlock) => lowerSource(sourceOf(base, phd));

function lowerSource(source: SourceFile): { readonly lowered: Graph; readonly weights: WeightSource } {
  const collector = new DiagnosticCollector();
  const model = checkModel(parseFile(source, collector)!, collector);
  if (model === undefined) throw new Error(collector.diagnostics.map(({ message }) => message).join("; "));
  const lowered = lowerModel(model);
  return { lowered, weights: randomWeights(lowered, 3) };
}

/** After all passes, as the CPU device runs it. */
export function planSmall(base: Base, phd: PhdBlock) {
  const { lowered, weights } = lowerSmall(base, phd);
  return { graph: runPasses(graphPipeline, lowered), dense: runPasses([repeatTokens], lowered), weights };
}

export interface CompiledSmall {
  readonly manifest: Manifest;
  readonly kernels: readonly Kernel[];
  readonly texts: ReadonlyMap<string, string>;
  readonly weights: WeightSource;
  /** Logits of every position, all in one piece, in float64; with these weights, if others are given. */
  readonly dense: (ids: readonly number[], weights?: WeightSource) => Float64Array;
}

export const compileOptions: CompileOptions = { target: "webgpu", dtype: "f32", capabilities: portableCapabilities };

/** From text to kernels. */
export const compileSmall = (base: Base, phd: PhdBlock, options: CompileOptions = compileOptions): CompiledSmall =>
  compileText(sourceOf(base, phd), options);

/** The same for any model. */
export function compileText(source: SourceFile, options: CompileOptions = compileOptions): CompiledSmall {
  const { program, diagnostics } = compileSource(source, options);
  if (program === undefined) throw new Error(diagnostics.map(({ message }) => message).join("; "));
  const { lowered, weights } = lowerSource(source);
  const graph = runPasses([repeatTokens], lowered);
  return {
    ...{ manifest: program.manifest, kernels: program.kernelPrograms, weights },
    texts: textsOf(program),
    dense: (ids, others = weights) => denseForward(graph, others, ids),
  };
}

export function runOf({ manifest, kernels, weights }: CompiledSmall, options: ManifestRunOptions): ManifestRun {
  return new ManifestRun(manifest, kernels, (tensor) => weights(tensor).data, options);
}

/** The largest difference of logits from those of a position in the dense pass, relative to logits above 1. */
export function differenceAt(dense: Float64Array, position: number, logits: ArrayLike<number>): number {
  let worst = 0;
  for (let id = 0; id < logits.length; id++) {
    const expected = dense[position * logits.length + id]!;
    const difference = Math.abs(logits[id]! - expected) / Math.max(1, Math.abs(expected));
    if (!(difference <= worst)) worst = difference;
  }
  return worst;
}
