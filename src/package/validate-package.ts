/**
 * Checks a compiled package as a whole: the manifest, the files it names and their hashes, and that every kernel is called as its text
 * says.
 */
import { sha256 } from "../backends/host/pack-weights.js";
import { parseManifest } from "../runtime/check-manifest.js";
import { ManifestError } from "../runtime/errors.js";
import type { Manifest } from "../runtime/manifest.js";
import { interfaceProblems } from "./kernel-interface.js";

/** Gives a run of bytes of a file of the package, by its path; undefined where the file is not there or is shorter. */
export type ReadFile = (
  path: string,
  run?: { readonly offset: number; readonly bytes: number },
) => Promise<Uint8Array<ArrayBuffer> | undefined>;

/** What was looked at, and what is wrong with it. */
export interface Finding {
  readonly check: string;
  /** How many things were looked at. */
  readonly count: number;
  readonly problems: readonly string[];
  /** Why it was not looked at. */
  readonly skipped?: string;
}

/** Checks everything that files alone tell, for the package and for its self-test. */
export async function validatePackage(read: ReadFile): Promise<readonly Finding[]> {
  const own = await validatePart(read, "");
  if (own.manifest?.selftest === undefined) return own.findings;
  const test = await validatePart(read, "selftest/");
  const { file } = own.manifest.selftest;
  const expected = await read(file);
  return [
    ...own.findings,
    ...test.findings,
    {
      check: "expected logits of the self-test",
      count: 1,
      problems: expected === undefined ? [`${file} is missing`] : [],
    },
  ];
}

/** The package's own part stands at its root, that of the self-test in a folder; both have a manifest and kernels. */
async function validatePart(
  read: ReadFile,
  folder: "" | "selftest/",
): Promise<{ readonly findings: readonly Finding[]; readonly manifest?: Manifest }> {
  const of = folder === "" ? "" : " of the self-test";
  const { manifest, problems } = await readManifest(read, `${folder}manifest.json`);
  const check = `manifest${of}`;
  if (manifest === undefined) return { findings: [{ check, count: 1, problems }] };
  return {
    manifest,
    findings: [
      { check, count: 1, problems },
      await checkFiles(`files and hashes${of}`, read, folder, manifest),
      await checkPackedWeights(`packed weights${of}`, read, folder, manifest),
      await checkInterfaces(`kernel interfaces${of}`, read, folder, manifest),
    ],
  };
}

async function readManifest(
  read: ReadFile,
  path: string,
): Promise<{ readonly manifest?: Manifest; readonly problems: readonly string[] }> {
  const bytes = await read(path);
  if (bytes === undefined) return { problems: [`${path} is missing`] };
  try {
    return { manifest: parseManifest(new TextDecoder().decode(bytes)), problems: [] };
  } catch (error) {
    if (error instanceof ManifestError) return { problems: [`${path}: ${error.message}`] };
    throw error;
  }
}

/** Every file that the manifest names, with the hash that it should have. */
export function namedFiles({
  kernels,
  modules,
}: Manifest): readonly { readonly file: string; readonly sha256: string }[] {
  const { headers = [], fatbin, ptx } = modules ?? {};
  return [...kernels, ...headers, ...[fatbin, ptx].filter((module) => module !== undefined)];
}

async function checkFiles(check: string, read: ReadFile, folder: string, manifest: Manifest): Promise<Finding> {
  const files = namedFiles(manifest);
  const problems: string[] = [];
  for (const { file, sha256: wanted } of files) {
    const bytes = await read(`${folder}${file}`);
    if (bytes === undefined) problems.push(`${folder}${file} is missing`);
    else if ((await sha256(bytes)) !== wanted) problems.push(`${folder}${file} is not what the manifest was made for`);
  }
  return { check, count: files.length, problems };
}

async function checkPackedWeights(
  check: string,
  read: ReadFile,
  folder: string,
  { weights }: Manifest,
): Promise<Finding> {
  const packed = weights.flatMap(({ name, packed = [] }) => packed.map((piece) => ({ name, ...piece })));
  const problems: string[] = [];
  for (const { name, layer, file, offset, bytes, sha256: wanted } of packed) {
    const which = `${name}${layer === undefined ? "" : ` of layer ${layer}`}`;
    const piece = await read(`${folder}${file}`, { offset, bytes });
    if (piece === undefined) problems.push(`${folder}${file} holds no ${bytes} bytes at ${offset} for ${which}`);
    else if ((await sha256(piece)) !== wanted) problems.push(`${which} in ${folder}${file} is damaged`);
  }
  return { check, count: packed.length, problems };
}

async function checkInterfaces(check: string, read: ReadFile, folder: string, manifest: Manifest): Promise<Finding> {
  const problems: string[] = [];
  for (const info of manifest.kernels) {
    const bytes = await read(`${folder}${info.file}`);
    // That it is missing is said where files are checked.
    if (bytes !== undefined) problems.push(...interfaceProblems(info, new TextDecoder().decode(bytes)));
  }
  return { check, count: manifest.kernels.length, problems };
}
