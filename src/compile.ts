/**
 * The compiler on one page: source text in, kernels and a manifest out, through every stage in order.
 */
import { cudaCapabilities } from "./backends/cuda/capabilities.js";
import { emitCuda } from "./backends/cuda/module.js";
import { cudaPreamble, preambleName } from "./backends/cuda/preamble.js";
import { emitWgsl } from "./backends/wgsl/module.js";
import { type Diagnostic, DiagnosticCollector, DiagnosticError } from "./diagnostics/diagnostic.js";
import { checkModel } from "./dsl/check/check-model.js";
import type { ParamOverrides } from "./dsl/check/params.js";
import { parseFile } from "./dsl/syntax/parse.js";
import type { Graph } from "./ir/graph/ops.js";
import { type Capabilities, portableCapabilities } from "./ir/kernel/capabilities.js";
import type { Kernel } from "./ir/kernel/kernel.js";
import type { FloatType } from "./ir/kernel/types.js";
import type { Tuning } from "./kernels/tuning.js";
import { lowerModel } from "./lower/lower-model.js";
import { analyseTokens, type TokenFacts } from "./passes/analyse-tokens.js";
import { checkTokens } from "./passes/check-tokens.js";
import { type PassTrace, runPasses } from "./passes/pass.js";
import { graphPipeline } from "./passes/pipeline.js";
import type { Manifest, Quantisation } from "./runtime/manifest.js";
import { completeManifest } from "./schedule/complete-manifest.js";
import { scheduleFacts } from "./schedule/facts.js";
import { type PackageText, type PrintedKernel, printKernel } from "./schedule/kernel-info.js";
import { contextError, contextWarning } from "./schedule/longest-context.js";
import { schedule } from "./schedule/schedule.js";
import type { SourceFile } from "./source/source-file.js";
import { generator } from "./version.js";

export interface CompileOptions {
  /** Values of the model's parameters, instead of its defaults. */
  readonly set?: ParamOverrides;
  readonly target: "webgpu" | "cuda";
  /** Element type of weight matrices and key stores. */
  readonly dtype: FloatType;
  /** Weights of products are small integers; `dtype` is the type of everything else. */
  readonly quantise?: Quantisation;
  /** Parameters of kernels that were measured on a device; the rest, and all of them unless given, have their defaults. */
  readonly tuning?: Partial<Tuning>;
  /** What the device can do that the kernels will run on; what every device of the target can unless given. */
  readonly capabilities?: Capabilities;
  /** Sees the graph after every pass. */
  readonly trace?: PassTrace;
}

/** What CUDA kernels include, beside them in the package. */
const cudaHeader = { file: `kernels/${preambleName}`, print: cudaPreamble };

/** How kernels are spelled for a target, and what all of its devices can do. */
const targets = {
  webgpu: { language: "wgsl", emit: emitWgsl, capabilities: portableCapabilities, headers: [] },
  cuda: { language: "cuda", emit: emitCuda, capabilities: cudaCapabilities, headers: [cudaHeader] },
} as const;

export interface Timing {
  readonly stage: string;
  readonly milliseconds: number;
}

export interface Compilation {
  readonly diagnostics: readonly Diagnostic[];
  readonly timings: readonly Timing[];
  /** Everything but diagnostics is there exactly when none of these is an error. */
  readonly program?: Program;
}

export interface Program {
  /** After the last pass. */
  readonly graph: Graph;
  readonly facts: TokenFacts;
  readonly manifest: Manifest;
  /** Texts as the package carries them, in the order of the manifest. */
  readonly kernels: readonly PrintedKernel[];
  /** What they include. */
  readonly headers: readonly PackageText[];
  /** The same kernels as the interpreter runs them. */
  readonly kernelPrograms: readonly Kernel[];
}

/** Compiles the model of a file. The same input gives the same output, to the byte. */
export function compileSource(source: SourceFile, options: CompileOptions): Compilation {
  const { language, emit, capabilities, headers: headersOf } = targets[options.target];
  const collector = new DiagnosticCollector();
  const timings: Timing[] = [];
  const timed = stopwatch(timings);
  try {
    const tree = timed("parse", () => parseFile(source, collector));
    const model = tree && timed("check", () => checkModel(tree, collector, { set: options.set }));
    if (model === undefined) return { diagnostics: collector.diagnostics, timings };

    const lowered = timed("lower", () => lowerModel(model));
    for (const diagnostic of timed("check relations", () => checkTokens(lowered))) collector.add(diagnostic);
    if (collector.hasErrors) return { diagnostics: collector.diagnostics, timings };

    const graph = timed("passes", () => runPasses(graphPipeline, lowered, options.trace));
    const facts = timed("analyse", () => analyseTokens(graph, { asStated: true }));
    for (const { warning } of facts.retention.flat()) if (warning !== undefined) addOnce(collector, warning);
    if (facts.approximation !== undefined) addOnce(collector, facts.approximation);

    const tooLarge = contextError(graph);
    if (tooLarge !== undefined) throw new DiagnosticError([tooLarge]);
    const scheduled = timed("schedule", () =>
      schedule(graph, scheduleFacts(facts, graph), { capabilities, ...options }),
    );
    const kernels = timed("emit", () => scheduled.kernels.map((kernel) => printKernel(kernel, language, emit)));
    const headers = headersOf.map(({ file, print }) => ({ file, text: print() }));
    const identity = { source: source.name, generator, target: options.target };
    const manifest = completeManifest(graph, scheduled, kernels, identity, headers);
    const shortened = contextWarning(graph);
    if (shortened !== undefined) collector.add(shortened);
    const program = { graph, facts, manifest, kernels, headers, kernelPrograms: scheduled.kernels };
    return { diagnostics: collector.diagnostics, timings, program };
  } catch (error) {
    // A stage that cannot go on (a relation too hard to analyse) says why in the user's terms.
    if (!(error instanceof DiagnosticError)) throw error;
    return { diagnostics: [...collector.diagnostics, ...error.diagnostics], timings };
  }
}

/** Layers that share a relation have the same warning. */
function addOnce(collector: DiagnosticCollector, diagnostic: Diagnostic): void {
  const same = ({ code, message }: Diagnostic) => code === diagnostic.code && message === diagnostic.message;
  if (!collector.diagnostics.some(same)) collector.add(diagnostic);
}

function stopwatch(timings: Timing[]) {
  return <T>(stage: string, run: () => T): T => {
    const start = performance.now();
    try {
      return run();
    } finally {
      timings.push({ stage, milliseconds: performance.now() - start });
    }
  };
}
