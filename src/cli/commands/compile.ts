import { mkdir, open, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { emitModelModule } from "../../backends/host/emit-model-module.js";
import type { CompiledKernels } from "../../backends/host/emit-package.js";
import type { PackageFile } from "../../backends/host/package-file.js";
import { type CompileOptions, compileSource, type Program } from "../../compile.js";
import { usageDiagnostics } from "../../diagnostics/catalogue-usage.js";
import { printGraph } from "../../ir/graph/print.js";
import { type Capabilities, portableCapabilities } from "../../ir/kernel/capabilities.js";
import { printKernel } from "../../ir/kernel/print.js";
import { textsOf } from "../../package/texts.js";
import { graphPipeline } from "../../passes/pipeline.js";
import type { Checkpoint } from "../../runtime/checkpoint.js";
import type { Manifest } from "../../runtime/manifest.js";
import { writeFolderAtomic } from "../../runtime/node/atomic-write.js";
import { openCheckpoint } from "../../runtime/node/open-checkpoint.js";
import type { SourceFile } from "../../source/source-file.js";
import { assertWeightsFit, warnAboutUnread } from "../check-weights.js";
import { chooseDevice } from "../device.js";
import { readSource } from "../files.js";
import { formatBytes } from "../format.js";
import { programOf } from "../open-model.js";
import { type DtypeName, type QuantizeOptions, quantisationOf, type Settings } from "../options.js";
import { exitCodes, UsageError } from "../report.js";
import type { Terminal } from "../terminal.js";
import { findTuning } from "../tuning-cache.js";

export interface CompileCommandOptions extends QuantizeOptions {
  readonly target: "webgpu" | "cuda";
  readonly output?: string;
  readonly emit?: "graph" | "kernels" | "wgsl" | "cuda" | "manifest" | "host";
  readonly set: Settings;
  readonly weights?: string;
  readonly dtype: DtypeName;
  readonly subgroups?: boolean;
  /** Kernels as `phdc tune` found them best on this machine's adapter. */
  readonly tuned?: boolean;
  /** False: `--no-nvcc`. */
  readonly nvcc?: boolean;
  readonly dumpIr?: string;
  readonly printAfter?: readonly string[];
  readonly timePasses?: boolean;
  readonly json?: boolean;
}

/** What a subgroup may be where only its presence is known. */
const anySubgroups = { minSize: 4, maxSize: 128 };

/** `phdc compile FILE`: writes a package, or prints one part of it. */
export async function compileCommand(
  terminal: Terminal,
  path: string,
  options: CompileCommandOptions,
): Promise<number> {
  checkOptions(options);
  const source = await readSource(terminal, path);
  const tuning = options.tuned ? await findTuning(terminal, await chooseDevice(terminal, "webgpu", "f32")) : {};
  const dumps: PackageFile[] = [];
  const times: [string, number][] = [];
  const compileOptions: CompileOptions = {
    target: options.target,
    set: options.set,
    dtype: options.dtype === "auto" ? "f32" : options.dtype,
    ...quantisationOf(options),
    ...tuning,
    ...(options.target === "webgpu" && { capabilities: capabilitiesFor(options) }),
    trace: (pass, graph, milliseconds) => {
      times.push([pass, milliseconds]);
      const text = options.dumpIr !== undefined || options.printAfter?.includes(pass) ? printGraph(graph) : "";
      if (options.dumpIr !== undefined) {
        dumps.push({ path: `${String(dumps.length).padStart(2, "0")}-${pass}.phdir`, content: text });
      }
      if (options.printAfter?.includes(pass)) terminal.err(`// after ${pass}\n${text}`);
    },
  };
  const compilation = compileSource(source, compileOptions);
  const program = programOf(terminal, compilation, options.json === true);
  // With --json, stdout is one document.
  const document: Record<string, unknown> = {};
  if (options.dumpIr !== undefined) {
    const foreign = (entries: readonly string[]) => entries.find((entry) => !entry.endsWith(".phdir"));
    await writeFolderAtomic(options.dumpIr, (folder) => writeFiles(folder, dumps), foreign);
  }
  if (options.dumpIr !== undefined) document["dumped"] = dumps.map(({ path }) => path);
  if (options.emit !== undefined) {
    const part = printPart(program, options.emit);
    if (options.json) document[options.emit] = options.emit === "manifest" ? program.manifest : part;
    else terminal.out(part);
  }
  if (options.output !== undefined) {
    const files = await writePackage(terminal, source, compileOptions, program, options);
    document["output"] = options.output;
    document["files"] = files.map(({ path }) => path);
  }
  if (options.json) terminal.out(`${JSON.stringify(document, null, 2)}\n`);
  if (options.timePasses) printTimes(terminal, compilation.timings, times);
  return exitCodes.ok;
}

function checkOptions(options: CompileCommandOptions): void {
  const { output, emit, weights, dumpIr, printAfter = [], timePasses, target, dtype, subgroups, tuned } = options;
  const conflict = (reason: string) => new UsageError(usageDiagnostics.optionsConflict({ reason }));
  if (output === undefined && emit === undefined && dumpIr === undefined && printAfter.length === 0 && !timePasses) {
    throw conflict("Say where the package goes with -o, or what to print with --emit");
  }
  if (weights !== undefined && output === undefined)
    throw conflict("--weights packs weights into a package, which needs -o");
  if (target === "webgpu" && dtype === "bf16")
    throw conflict("--dtype bf16 is for --target cuda; WebGPU has f16 and f32");
  if (target === "cuda" && subgroups) throw conflict("--subgroups is for --target webgpu; every CUDA device has warps");
  if (target === "cuda" && tuned)
    throw conflict("--tuned is for --target webgpu: it takes what this machine's adapter wants");
  const language = { webgpu: "wgsl", cuda: "cuda" }[target];
  if ((emit === "wgsl" || emit === "cuda") && emit !== language) {
    throw conflict(`--emit ${emit} is for another target; the kernels for ${target} are in ${language}`);
  }
  const known = ["lower", ...graphPipeline.map(({ name }) => name)];
  const unknown = printAfter.find((name) => !known.includes(name));
  if (unknown !== undefined) throw new UsageError(usageDiagnostics.passUnknown({ name: unknown, known }));
}

/** A package runs on devices that are not here: it uses what every device has, and what was asked for. */
function capabilitiesFor({ dtype, subgroups }: CompileCommandOptions): Capabilities {
  return {
    ...portableCapabilities,
    f16: dtype === "f16",
    ...(subgroups ? { subgroups: anySubgroups } : {}),
  };
}

function printPart(program: Program, part: NonNullable<CompileCommandOptions["emit"]>): string {
  switch (part) {
    case "graph":
      return printGraph(program.graph);
    case "kernels":
      return `${program.kernelPrograms.map(printKernel).join("\n\n")}\n`;
    case "wgsl":
    case "cuda":
      return program.kernels.map(({ info, text }) => `// ${info.file}\n${text}`).join("\n");
    case "manifest":
      return `${JSON.stringify(program.manifest, null, 2)}\n`;
    case "host":
      return emitModelModule(program.manifest);
  }
}

async function writePackage(
  terminal: Terminal,
  source: SourceFile,
  compileOptions: CompileOptions,
  program: Program,
  options: CompileCommandOptions,
): Promise<readonly PackageFile[]> {
  const { emitPackage } = await import("../../backends/host/emit-package.js");
  const { makeSelfTest } = await import("../../package/make-self-test.js");
  const selfTest = makeSelfTest(source, compileOptions);
  const own: CompiledKernels = { manifest: program.manifest, kernels: textsOf(program) };
  const [compiled, compiledTest] = await withModules(terminal, options, own, selfTest.files);
  const emit = (manifest: Manifest) =>
    emitPackage({
      manifest: { ...manifest, selftest: selfTest.info },
      kernels: compiled.kernels,
      selfTest: { ...compiledTest, data: selfTest.files.data },
    });
  let files: readonly PackageFile[] = [];
  await writeFolderAtomic(
    options.output!,
    async (folder) => {
      const { weights } = options;
      const warn = (checkpoint: Checkpoint) => {
        if (!options.json) warnAboutUnread(terminal, weights!, program, checkpoint);
      };
      const manifest =
        weights === undefined
          ? compiled.manifest
          : await writeWeights(folder, weights, program, compiled.manifest, warn);
      files = emit(manifest);
      await writeFiles(folder, files);
    },
    foreignToPackage,
  );
  const bytes = files.reduce((total, { content }) => total + content.length, 0);
  if (!options.json) {
    const { model, kernels } = program.manifest;
    terminal.err(
      `${options.output}: ${model.name}, ${kernels.length} kernels, ${files.length} files, ${formatBytes(bytes)}\n`,
    );
  }
  return files;
}

/** What stands in the folder of a package, whatever its target. */
const packageEntries = ["manifest.json", "model.ts", "model.js", "package.json", "README.md", "kernels", "runtime"];
const optionalEntries = ["selftest", "weights"];

/** What keeps a folder from being replaced as an earlier package: an entry that packages do not have, or any where it is none. */
function foreignToPackage(entries: readonly string[]): string | undefined {
  const isPackage = packageEntries.every((entry) => entries.includes(entry));
  return entries.find((entry) => !isPackage || ![...packageEntries, ...optionalEntries].includes(entry));
}

/** The package's kernels and those of its self-test, with machine code where that is wanted and can be made. */
async function withModules(
  terminal: Terminal,
  { target, nvcc }: CompileCommandOptions,
  ...sets: [CompiledKernels, CompiledKernels]
): Promise<readonly [CompiledKernels, CompiledKernels]> {
  if (target !== "cuda" || nvcc === false) return sets;
  const { addModules } = await import("../cuda-modules.js");
  const [own, test] = await addModules(terminal, sets);
  return [own!, test!];
}

async function writeWeights(
  folder: string,
  weights: string,
  program: Program,
  manifest: Manifest,
  warn: (checkpoint: Checkpoint) => void,
): Promise<Manifest> {
  const { packedFile, packWeights } = await import("../../backends/host/pack-weights.js");
  const checkpoint = await openCheckpoint(weights);
  const path = join(folder, packedFile);
  await mkdir(dirname(path), { recursive: true });
  const file = await open(path, "w");
  try {
    assertWeightsFit(program, checkpoint);
    warn(checkpoint);
    return await packWeights(manifest, checkpoint, async ({ bytes, padding }) => {
      await file.writeFile(bytes);
      if (padding > 0) await file.writeFile(new Uint8Array(padding));
    });
  } finally {
    await file.close();
    await checkpoint.close();
  }
}

async function writeFiles(folder: string, files: readonly PackageFile[]): Promise<void> {
  const folders = new Set(files.map(({ path }) => dirname(join(folder, path))));
  for (const each of folders) await mkdir(each, { recursive: true });
  await Promise.all(files.map(({ path, content }) => writeFile(join(folder, path), content)));
}

function printTimes(
  terminal: Terminal,
  stages: readonly { readonly stage: string; readonly milliseconds: number }[],
  passes: readonly (readonly [string, number])[],
): void {
  const line = (name: string, milliseconds: number) => `${milliseconds.toFixed(1).padStart(9)} ms  ${name}\n`;
  for (const { stage, milliseconds } of stages) {
    terminal.err(line(stage, milliseconds));
    if (stage === "passes") for (const [pass, time] of passes) terminal.err(line(`  ${pass}`, time));
  }
}
