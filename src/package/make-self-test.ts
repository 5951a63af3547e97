/**
 * The self-test that a package carries: the same model at reduced sizes, with weights that follow from a seed, and the logits that the
 * float64 interpreter computes for it.
 */
import type { CompiledKernels } from "../backends/host/emit-package.js";
import { seededElements, tensorsOf } from "../backends/host/package-files/seeded-weights.js";
import type { SelfTestData } from "../backends/host/package-files/self-test.js";
import { type CompileOptions, compileSource, type Program } from "../compile.js";
import { DiagnosticCollector, InternalError } from "../diagnostics/diagnostic.js";
import { parseFile } from "../dsl/syntax/parse.js";
import { createCpuSession, derivedPlan, storedTensors, type WeightSource } from "../interpret/graph/index.js";
import type { SelfTestInfo } from "../runtime/manifest.js";
import type { SourceFile } from "../source/source-file.js";
import { reduceSizes } from "./reduce-sizes.js";
import { textsOf } from "./texts.js";

/** Long enough for a prompt that ends inside a chunk of the usual size, and for steps that cross its edge. */
const length = 36;
const prefill = 30;
const seed = 1;

export interface SelfTest {
  readonly info: SelfTestInfo;
  readonly files: CompiledKernels & { readonly data: SelfTestData };
}

export function makeSelfTest(source: SourceFile, options: CompileOptions): SelfTest {
  const tree = parseFile(source, new DiagnosticCollector());
  if (tree === undefined) throw new InternalError("a model that compiled does not parse");
  const { trace, ...rest } = options;
  const { program } = compileSource(source, { ...rest, set: reduceSizes(tree, options.set) });
  if (program === undefined) throw new InternalError("a model that checks at reduced sizes does not compile");
  const { manifest } = program;
  const ids = makeIds(manifest.model.vocab);
  return {
    info: {
      file: "selftest/expected.json",
      seed,
      parameters: manifest.model.parameters,
      tolerance: manifest.tolerance,
    },
    files: {
      manifest,
      kernels: textsOf(program),
      data: { seed, tolerance: manifest.tolerance, ids, prefill, logits: expectedLogits(program, ids) },
    },
  };
}

function makeIds(vocab: number): readonly number[] {
  const elements = seededElements(seed, { name: "ids", shape: [length] });
  // Elements of a vector lie in [0.5, 1.5).
  return Array.from(elements, (element) => Math.min(vocab - 1, Math.floor((element - 0.5) * vocab)));
}

function expectedLogits({ graph, facts, manifest }: Program, ids: readonly number[]): readonly (readonly number[])[] {
  const shapes = new Map(tensorsOf(manifest).map((tensor) => [tensor.name, tensor]));
  const stored = storedTensors(manifest);
  const weights: WeightSource = (name) => {
    const tensor = shapes.get(name)!;
    return stored(name, { data: Float64Array.from(seededElements(seed, tensor)), shape: tensor.shape });
  };
  const session = createCpuSession(graph, weights, { plan: derivedPlan(graph, facts) });
  const rows = [session.prefill([ids.slice(0, prefill)])[0]!];
  for (const id of ids.slice(prefill)) rows.push(session.decode([id])[0]!);
  // Six digits after the point are far below every tolerance.
  return rows.map((row) => Array.from(row, (value) => Math.round(value * 1e6) / 1e6));
}
