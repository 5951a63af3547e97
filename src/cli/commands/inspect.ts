import { readFile, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { usageDiagnostics } from "../../diagnostics/catalogue-usage.js";
import type { Finding } from "../../package/validate-package.js";
import type { Manifest } from "../../runtime/manifest.js";
import { openCheckpoint } from "../../runtime/node/open-checkpoint.js";
import { layersOf, packedShape } from "../../runtime/packing.js";
import { unreadable } from "../files.js";
import { formatBytes, formatCount, formatTable } from "../format.js";
import { exitCodes, UsageError } from "../report.js";
import type { Terminal } from "../terminal.js";

export interface InspectOptions {
  readonly validate?: boolean;
  readonly json?: boolean;
}

/**
 * `phdc inspect PATH`: the tensors of a checkpoint, or the kernels and weights of a compiled package. With `--validate` the package is
 * checked instead, and the exit code says whether all is well.
 */
export async function inspectCommand(terminal: Terminal, path: string, options: InspectOptions): Promise<number> {
  const manifest = await readManifest(path);
  if (options.validate) return validate(terminal, path, manifest, options.json === true);
  if (manifest !== undefined) inspectPackage(terminal, manifest, options.json === true);
  else await inspectCheckpoint(terminal, path, options.json === true);
  return exitCodes.ok;
}

async function validate(
  terminal: Terminal,
  path: string,
  manifest: Manifest | undefined,
  json: boolean,
): Promise<number> {
  if (manifest === undefined) {
    throw new UsageError(
      usageDiagnostics.optionsConflict({ reason: `--validate is for packages, and ${path} is none` }),
    );
  }
  const { validateFolder } = await import("../validate.js");
  const findings = await validateFolder(path.endsWith(".json") ? dirname(path) : path, manifest);
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

/** The manifest when the path is a package or its manifest; what it holds is only shown, so it is trusted to be one by its format. */
async function readManifest(path: string): Promise<Manifest | undefined> {
  let file: string;
  try {
    file = (await stat(path)).isDirectory() ? join(path, "manifest.json") : path;
  } catch (error) {
    throw unreadable(path, error);
  }
  if (!file.endsWith(".json")) return undefined;
  try {
    const value = JSON.parse(await readFile(file, "utf8")) as Manifest;
    return value.format === "phdc-package" ? value : undefined;
  } catch {
    return undefined;
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

function inspectPackage(terminal: Terminal, manifest: Manifest, json: boolean): void {
  const { model, kernels, phases, weights } = manifest;
  const classes = phases.decode.layer.map((steps, index) => ({
    layers: phases.decode.classOf.filter((layerClass) => layerClass === index).length,
    dispatches: steps.length,
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
  terminal.out(
    `Dispatches of a decode step: ${perLayer}, ${phases.decode.before.length + phases.decode.after.length} around them.\n`,
  );
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
