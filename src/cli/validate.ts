/** Validation of a package on disk: what its files tell, and whether its kernels compile where there is a compiler for them. */
import { open, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { type Finding, type ReadFile, validatePackage } from "../package/validate-package.js";
import { parseManifest } from "../runtime/check-manifest.js";
import { DeviceError } from "../runtime/errors.js";
import type { Manifest } from "../runtime/manifest.js";
import { compileModules, fatbinArchitectures, findNvcc } from "../runtime/node/nvcc.js";

export async function validateFolder(folder: string): Promise<readonly Finding[]> {
  const findings = await validatePackage(readerOf(folder));
  // What is said of kernels in a manifest that is wrong may be anything.
  const [{ problems }] = findings as [Finding];
  if (problems.length > 0) return findings;
  const manifest = parseManifest(await readFile(join(folder, "manifest.json"), "utf8"));
  return [...findings, await compileKernels(folder, manifest)];
}

function readerOf(folder: string): ReadFile {
  return async (path, run) => {
    const file = join(folder, path);
    try {
      if (run === undefined) return new Uint8Array(await readFile(file));
      if ((await stat(file)).size < run.offset + run.bytes) return undefined;
      const handle = await open(file);
      try {
        const bytes = new Uint8Array(run.bytes);
        const { bytesRead } = await handle.read(bytes, 0, run.bytes, run.offset);
        return bytesRead === run.bytes ? bytes : undefined;
      } finally {
        await handle.close();
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw error;
    }
  };
}

async function compileKernels(folder: string, { kernels, modules, target }: Manifest): Promise<Finding> {
  const check = `kernels compile${target === "cuda" ? ` for ${fatbinArchitectures.join(" and ")}, warnings as errors` : ""}`;
  const skip = (skipped: string): Finding => ({ check, count: 0, problems: [], skipped });
  if (target !== "cuda") return skip("a device compiles WGSL when it loads the package; `phdc verify` runs it");
  const nvcc = await findNvcc();
  if (nvcc === undefined) return skip("there is no nvcc on the path");
  const read = readerOf(folder);
  const texts = new Map<string, string>();
  for (const { file } of [...kernels, ...(modules?.headers ?? [])]) {
    const bytes = await read(file);
    if (bytes === undefined) return skip(`${file} is missing`);
    texts.set(file, new TextDecoder().decode(bytes));
  }
  try {
    await compileModules(nvcc, texts);
    return { check, count: kernels.length, problems: [] };
  } catch (error) {
    if (error instanceof DeviceError) return { check, count: kernels.length, problems: [error.message] };
    throw error;
  }
}
