/** From a `.phd` file and a folder of weights to sessions on a device: what `run`, `logits` and `verify` share. */
import { type Compilation, type CompileOptions, compileSource, type Program } from "../compile.js";
import { DiagnosticCollector, DiagnosticError, InternalError } from "../diagnostics/diagnostic.js";
import { checkModel } from "../dsl/check/check-model.js";
import { parseFile } from "../dsl/syntax/parse.js";
import { createCpuSession, derivedPlan } from "../interpret/graph/index.js";
import { textsOf } from "../package/texts.js";
import type { Checkpoint } from "../runtime/checkpoint.js";
import { loadModel, type Model } from "../runtime/model.js";
import { openCheckpoint } from "../runtime/node/open-checkpoint.js";
import { openDevice } from "../runtime/webgpu/device.js";
import type { SourceFile } from "../source/source-file.js";
import { type BatchSession, cpuBatchSession, gpuBatchSession } from "./batch-session.js";
import { capabilitiesOf } from "./capabilities.js";
import { assertWeightsFit, warnAboutUnread } from "./check-weights.js";
import { readCpuWeights } from "./cpu-weights.js";
import { type ChosenDevice, type ChosenGpu, chooseDevice } from "./device.js";
import { type DeviceName, type DtypeName, type QuantizeOptions, quantisationOf, type Settings } from "./options.js";
import { warnAboutBlock } from "./phd-block.js";
import { progressLine } from "./progress.js";
import { printDiagnostics } from "./report.js";
import type { Terminal } from "./terminal.js";
import { findTuning } from "./tuning-cache.js";

export interface OpenOptions extends QuantizeOptions {
  readonly weights: string;
  readonly device: DeviceName;
  readonly dtype: DtypeName;
  readonly set: Settings;
  /** Kernels as `phdc tune` found them best on the device. */
  readonly tuned?: boolean;
  readonly json?: boolean;
}

export interface SessionSize {
  readonly batch: number;
  readonly context: number;
}

export interface OpenedModel {
  readonly device: ChosenDevice;
  readonly program: Program;
  readonly checkpoint: Checkpoint;
  /** Loads the weights, after a check that they fit the model, and they and a session of this size the device. */
  load(size: SessionSize): Promise<void>;
  openSession(size: SessionSize): Promise<BatchSession>;
  /** The loaded model on a GPU, for those that look inside; absent on the CPU. */
  readonly gpu?: () => Model;
  close(): Promise<void>;
}

/** Compiles a model for the device that runs it. Nothing is loaded yet. */
export async function openModel(terminal: Terminal, source: SourceFile, options: OpenOptions): Promise<OpenedModel> {
  assertChecks(source, options.set);
  const quantisation = quantisationOf(options);
  const chosen = await chooseDevice(terminal, options.device, options.dtype);
  const opening: Closable[] = chosen.kind === "cuda" ? [chosen.device] : [];
  try {
    const tuning = options.tuned ? await findTuning(terminal, chosen) : {};
    const own = { set: options.set, ...quantisation, ...tuning };
    const program = compileForDevice(terminal, source, chosen, own, options.json === true);
    const checkpoint = await openCheckpoint(options.weights);
    opening.push(checkpoint);
    assertWeightsFit(program, checkpoint);
    if (!options.json) warnAboutUnread(terminal, options.weights, program, checkpoint);
    await warnAboutBlock(terminal, options.weights, program);
    return chosen.kind === "cpu"
      ? await openOnCpu(terminal, chosen, program, checkpoint)
      : await openOnGpu(terminal, chosen, program, checkpoint);
  } catch (error) {
    for (const open of opening) await open.close();
    throw error;
  }
}

/** The program for a device, after its warnings have been shown; throws its errors. */
export function compileForDevice(
  terminal: Terminal,
  source: SourceFile,
  chosen: ChosenDevice,
  options: Pick<CompileOptions, "set" | "quantise" | "tuning">,
  json: boolean,
): Program {
  return programOf(terminal, compileSource(source, { ...options, ...compileOptionsFor(chosen) }), json);
}

interface Closable {
  close(): void | Promise<void>;
}

function compileOptionsFor(chosen: ChosenDevice): CompileOptions {
  switch (chosen.kind) {
    case "webgpu":
      return { target: "webgpu", dtype: chosen.dtype, capabilities: capabilitiesOf(chosen.found.description) };
    case "cuda":
      return { target: "cuda", dtype: chosen.dtype };
    case "cpu":
      return { target: "webgpu", dtype: "f32" };
  }
}

/** Mistakes in the text are told before a device is looked for. */
function assertChecks(source: SourceFile, set: Settings): void {
  const collector = new DiagnosticCollector();
  const tree = parseFile(source, collector);
  if (tree !== undefined) checkModel(tree, collector, { set });
  if (collector.hasErrors) throw new DiagnosticError(collector.diagnostics);
}

/** The program, after its warnings have been shown; throws its errors. */
export function programOf(terminal: Terminal, { program, diagnostics }: Compilation, json: boolean): Program {
  if (program === undefined) throw new DiagnosticError(diagnostics);
  if (!json) printDiagnostics(terminal, diagnostics);
  return program;
}

async function openOnGpu(
  terminal: Terminal,
  chosen: ChosenGpu,
  program: Program,
  checkpoint: Checkpoint,
): Promise<OpenedModel> {
  const device = chosen.kind === "cuda" ? chosen.device : await openDevice(chosen.found.adapter);
  const texts = textsOf(program);
  const source = { manifest: program.manifest, checkpoint, readText: async (file: string) => texts.get(file)! };
  let model: Model | undefined;
  return {
    device: chosen,
    program,
    checkpoint,
    load: async (session) => {
      const progress = progressLine(terminal, "Loading weights");
      try {
        model = await loadModel(device, source, { session, onProgress: progress.update });
      } finally {
        progress.end();
      }
    },
    openSession: async (size) => {
      if (model === undefined) throw new InternalError("a session was opened before the weights were loaded");
      return gpuBatchSession(await model.openSession(size));
    },
    gpu: () => {
      if (model === undefined) throw new InternalError("the weights are not loaded");
      return model;
    },
    close: async () => {
      model?.close();
      device.close();
      await checkpoint.close();
    },
  };
}

async function openOnCpu(
  terminal: Terminal,
  chosen: ChosenDevice,
  program: Program,
  checkpoint: Checkpoint,
): Promise<OpenedModel> {
  let weights: Awaited<ReturnType<typeof readCpuWeights>> | undefined;
  return {
    device: chosen,
    program,
    checkpoint,
    load: async () => {
      const progress = progressLine(terminal, "Loading weights");
      try {
        weights = await readCpuWeights(checkpoint, program.manifest, progress.update);
      } finally {
        progress.end();
      }
    },
    openSession: async ({ context }) => {
      if (weights === undefined) throw new InternalError("a session was opened before the weights were loaded");
      const plan = derivedPlan(program.graph, program.facts);
      return cpuBatchSession(createCpuSession(program.graph, weights, { plan }), context);
    },
    close: () => checkpoint.close(),
  };
}
