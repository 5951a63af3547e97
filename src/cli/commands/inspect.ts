import { stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { usageDiagnostics } from "../../diagnostics/catalogue-usage.js";
import type { Finding } from "../../package/validate-package.js";
import { parseManifest } from "../../runtime/check-manifest.js";
import { ManifestError, PhdcError } from "../../runtime/errors.js";
import type { Manifest } from "../../runtime/manifest.js";
import { openCheckpoint } from "../../runtime/node/open-checkpoint.js";
import { layersOf, packedShape, planWeights } from "../../runtime/packing.js";
import { decodeContext } from "../../runtime/phase-context.js";
import { callsOfPhase } from "../../runtime/program.js";
import { shapeSession } from "../../runtime/shape.js";
import { readText, unreadable } from "../files.js";
import { formatBytes, formatCount, formatTable } from "../format.js";
import { exitCodes, UsageError } from "../report.js";
import type { Terminal } from "../terminal.js";

const manifestName = "manifest.json";

export interface InspectOptions {
  readonly validate?: boolean;
  readonly json?: boolean;
}

/**
 * `phdc inspect PATH`: the tensors of a checkpoint, or the kernels and weights of a compiled package. With `--validate` the package is
 * checked instead, and the exit code says whether all is well.
 */
export async function inspectCommand(terminal: Terminal, path: string, options: InspectOptions): Promise<number> {
  const json = options.json === true;
  const folder = await findPackage(path);
  if (options.validate) return validate(terminal, path, folder, json);
  if (folder !== undefined) inspectPackage(terminal, await readManifest(folder), json);
  else await inspectCheckpoint(terminal, path, json);
  return exitCodes.ok;
}

async function validate(terminal: Terminal, path: string, folder: string | undefined, json: boolean): Promise<number> {
  if (folder === undefined) {
    throw new UsageError(
      usageDiagnostics.optionsConflict({ reason: `--validate is for packages, and ${path} is none` }),
    );
  }
  const { validateFolder } = await import("../validate.js");
  const findings = await validateFolder(folder);
  const valid = findings.every(({ problems }) => problems.length === 0);
  terminal.out(json ? `${JSON.stringify({ valid, findings }, null, 2)}\n` : renderFindings(findings, valid));
  return valid ? exitCodes.ok : exitCodes.wrongInput;
}

function renderFindings(findings: readonly Finding[], valid: boolean): string {
  const lines = findings.flatMap(({ check, count, problems, skipped }) => {
    if (skipped !== undefined) return [`not checked  ${check}: ${skipped}`];
    if (problems.length === 0) return [`right        ${check} (${count})`];
    return [`wrong        ${check}`, ...problems.map((problem) => `  ${problem.replaceAll("\n", "\n  ")}`)];
  });
  return `${[...lines, "", valid ? "The package is valid." : "The package is not valid."].join("\n")}\n`;
}

/** The folder of a package, when the path is one or its manifest. */
async function findPackage(path: string): Promise<string | undefined> {
  try {
    if (!(await stat(path)).isDirectory()) return basename(path) === manifestName ? dirname(path) : undefined;
  } catch (error) {
    throw unreadable(path, error);
  }
  return stat(join(path, manifestName)).then(
    () => path,
    () => undefined,
  );
}

async function readManifest(folder: string): Promise<Manifest> {
  const file = join(folder, manifestName);
  const text = await readText(file);
  try {
    return parseManifest(text);
  } catch (error) {
    if (!(error instanceof ManifestError)) throw error;
    throw new PhdcError(error.code, `${file}: ${error.message}`, { details: error.details, cause: error });
  }
}

async function inspectCheckpoint(terminal: Terminal, path: string, json: boolean): Promise<void> {
  const checkpoint = await openCheckpoint(path);
  try {
    const tensors = [...checkpoint.tensors.values()];
    const elements = tensors.reduce((total, tensor) => total + tensor.shape.reduce((a, b) => a * b, 1), 0);
    const bytes = tensors.reduce((total, tensor) => total + tensor.byteLength, 0);
    if (json) {
      const list = tensors.map(({ name, dtype, shape, byteLength, shard }) => ({
        name,
        dtype,
        shape,
        bytes: byteLength,
        file: checkpoint.files[shard],
      }));
      terminal.out(`${JSON.stringify({ kind: "checkpoint", tensors: list, parameters: elements, bytes }, null, 2)}\n`);
      return;
    }
    const rows = tensors.map(({ name, dtype, shape, byteLength }) => [
      name,
      dtype,
      `[${shape.join(", ")}]`,
      formatBytes(byteLength),
    ]);
    terminal.out(`${formatTable([["tensor", "dtype", "shape", "bytes"], ...rows])}\n\n`);
    terminal.out(
      `${tensors.length} tensors in ${checkpoint.files.length} file${checkpoint.files.length === 1 ? "" : "s"}, ${formatCount(elements)} parameters, ${formatBytes(bytes)}\n`,
    );
  } finally {
    await checkpoint.close();
  }
}

/** The layer of every call of a decode step, for one sequence. Of steps that stand in for each other, one is called. */
function decodeCalls(manifest: Manifest): (number | undefined)[] {
  const unlimited = { maxBufferSize: Number.MAX_SAFE_INTEGER, maxStorageBufferBindingSize: Number.MAX_SAFE_INTEGER };
  const longest = manifest.symbols.find(({ name }) => name === "context")?.max ?? usualContext;
  const shape = shapeSession(manifest, { context: Math.min(usualContext, longest) }, unlimited);
  const context = decodeContext({ manifest, weights: planWeights(manifest, unlimited) }, shape);
  return callsOfPhase(context, { head: true }).map(({ layer }) => layer);
}

const usualContext = 1024;

function inspectPackage(terminal: Terminal, manifest: Manifest, json: boolean): void {
  const { model, kernels, phases, weights } = manifest;
  const layersOfCalls = decodeCalls(manifest);
  const dispatchesIn = (layer: number | undefined) => layersOfCalls.filter((own) => own === layer).length;
  const { classOf } = phases.decode;
  const classes = phases.decode.layer.map((_, index) => ({
    layers: classOf.filter((layerClass) => layerClass === index).length,
    dispatches: dispatchesIn(classOf.indexOf(index)),
  }));
  if (json) {
    const summary = {
      kind: "package",
      model,
      generator: manifest.generator,
      target: manifest.target,
      requires: manifest.requires,
    };
    terminal.out(`${JSON.stringify({ ...summary, kernels, decodeLayers: classes, weights }, null, 2)}\n`);
    return;
  }
  const parameters = Object.entries(model.parameters).map(([name, value]) => `${name} = ${value}`);
  terminal.out(`${model.name}, compiled by ${manifest.generator} for ${manifest.target} from ${model.source}\n`);
  terminal.out(`${parameters.join(", ")}\n`);
  for (const attend of model.attends) terminal.out(`attend q -> k when ${attend}\n`);
  terminal.out(
    `\n${formatTable([
      ["kernel", "workgroup", "shared", "file"],
      ...kernels.map((kernel) => [
        kernel.name,
        kernel.workgroupSize.join(" × "),
        formatBytes(kernel.sharedMemoryBytes),
        kernel.file,
      ]),
    ])}\n\n`,
  );
  const perLayer = classes.map(({ layers, dispatches }) => `${dispatches} in each of ${layers} layers`).join(", ");
  terminal.out(`Dispatches of a decode step: ${perLayer}, ${dispatchesIn(undefined)} around them.\n`);
  const [quantised] = weights.flatMap((weight) => weight.quantised ?? []);
  if (quantised !== undefined) {
    const { bytes, elements } = quantisedSize(manifest);
    terminal.out(
      `Products read int${quantised.bits} weights in groups of ${quantised.group}: ${formatBytes(bytes)} instead of ${formatBytes(4 * elements)} in f32.\n`,
    );
  }
  const packed = weights.flatMap((weight) => weight.packed ?? []);
  terminal.out(
    packed.length === 0
      ? `${weights.length} weights, packed when the package loads.\n`
      : `${packed.length} packed weights, ${formatBytes(packed.reduce((total, part) => total + part.bytes, 0))}.\n`,
  );
}

/** Bytes of all quantised weights with their scales, and how many weights they are. */
function quantisedSize(manifest: Manifest): { readonly bytes: number; readonly elements: number } {
  let bytes = 0;
  let elements = 0;
  for (const info of manifest.weights) {
    if (info.quantised === undefined) continue;
    const layers = layersOf(manifest, info).length;
    bytes += layers * info.rows * packedShape(info).rowBytes;
    if (info.quantised.part === "values") elements += layers * info.rows * info.columns;
  }
  return { bytes, elements };
}
