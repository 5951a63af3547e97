/**
 * nvcc, NVIDIA's compiler as a command: all kernels of a package as one fat binary, and as PTX that older drivers read.
 */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { promisify } from "node:util";
import type { ModuleBuilder } from "../cuda/module-builder.js";
import { DeviceError, NoAdapter } from "../errors.js";

const run = promisify(execFile);

export interface Nvcc {
  readonly path: string;
  /** As in `13.0`. */
  readonly version: string;
}

/** The compiler on the path, where the environment says, or where the toolkit is usually installed; undefined where there is none. */
export async function findNvcc(): Promise<Nvcc | undefined> {
  const { CUDA_HOME, CUDA_PATH } = process.env;
  const roots = [CUDA_HOME, CUDA_PATH, "/usr/local/cuda"].filter((root) => root !== undefined);
  for (const path of ["nvcc", ...roots.map((root) => join(root, "bin", "nvcc"))]) {
    try {
      const { stdout } = await run(path, ["--version"]);
      return { path, version: /release ([\d.]+)/.exec(stdout)?.[1] ?? "unknown" };
    } catch {
      // Not here; the next place may have it.
    }
  }
  return undefined;
}

/** The architectures whose machine code a fat binary holds: those that kernels are tuned for. Others run the PTX. */
export const fatbinArchitectures = ["sm_80", "sm_90a"] as const;
export const ptxArchitecture = "compute_80";

/**
 * Versions of the PTX language that may do for what kernels use, oldest first. A driver reads what was current when it was made and
 * older, and nvcc writes its own newest.
 */
const ptxVersions = ["7.0", "7.4", "7.8", "8.0", "8.3"];

export interface CompiledModules {
  readonly fatbin: Uint8Array<ArrayBuffer>;
  readonly ptx: Uint8Array<ArrayBuffer>;
  readonly ptxVersion: string;
}

/** Compiles kernel files, given by their paths in the package, with warnings as errors. Throws DeviceError with what nvcc says. */
export async function compileModules(nvcc: Nvcc, files: ReadonlyMap<string, string>): Promise<CompiledModules> {
  return withFolder(async (folder) => {
    const source = await writeTogether(folder, files);
    const fatbin = join(folder, "kernels.fatbin");
    const ptx = join(folder, "kernels.ptx");
    const targets = fatbinArchitectures.flatMap((architecture) => [
      "-gencode",
      `arch=${architecture.replace("sm_", "compute_")},code=${architecture}`,
    ]);
    await compile(nvcc, ["-fatbin", ...targets, "-o", fatbin, source]);
    await compile(nvcc, ["-ptx", `-arch=${ptxArchitecture}`, "-o", ptx, source]);
    const oldest = await oldestPtx(nvcc, folder, await readFile(ptx, "utf8"));
    return {
      fatbin: new Uint8Array(await readFile(fatbin)),
      ptx: new TextEncoder().encode(oldest.text),
      ptxVersion: oldest.version,
    };
  });
}

/** Makes modules for a device, where NVRTC does not. */
export function nvccBuilder(): ModuleBuilder {
  return {
    name: "nvcc",
    build: async ({ kernels, headers, computeCapability }) => {
      const nvcc = await findNvcc();
      if (nvcc === undefined) throw new NoAdapter("there is no nvcc on the path");
      const folderOf = dirname(kernels[0]!.info.file);
      const files = new Map(kernels.map(({ info, text }) => [info.file, text]));
      for (const [name, text] of headers) files.set(join(folderOf, name), text);
      const image = await withFolder(async (folder) => {
        const source = await writeTogether(folder, files);
        const cubin = join(folder, "kernels.cubin");
        await compile(nvcc, ["-cubin", `-arch=sm_${computeCapability}`, "-o", cubin, source]);
        return new Uint8Array(await readFile(cubin));
      });
      return [{ kernels: kernels.map(({ info }) => info.name), image }];
    },
  };
}

const commonFlags = ["-std=c++17", "-Werror=all-warnings"];

async function compile(nvcc: Nvcc, args: readonly string[]): Promise<void> {
  try {
    await run(nvcc.path, [...commonFlags, ...args], { maxBuffer: 64 * 1024 * 1024 });
  } catch (cause) {
    const { stdout, stderr } = cause as { readonly stdout: string; readonly stderr: string };
    throw new DeviceError(`nvcc refuses the kernels:\n${stderr || stdout}`, { details: { nvcc: nvcc.path }, cause });
  }
}

/** Writes the files, and one that includes all kernels: they compile as one program, which reads the toolkit's headers once. */
async function writeTogether(folder: string, files: ReadonlyMap<string, string>): Promise<string> {
  for (const [path, text] of files) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), text);
  }
  const kernels = [...files.keys()].filter((path) => path.endsWith(".cu"));
  const source = join(folder, "kernels.cu");
  await writeFile(source, kernels.map((path) => `#include "${path}"\n`).join(""));
  return source;
}

/**
 * The text under the oldest version that the assembler takes it in. nvcc marks its output with the version it was made with, whatever
 * the text uses.
 */
async function oldestPtx(nvcc: Nvcc, folder: string, text: string): Promise<{ text: string; version: string }> {
  const assembler = nvcc.path.replace(/nvcc$/, "ptxas");
  const marked = /^\.version (\d+\.\d+)$/m;
  const candidate = join(folder, "older.ptx");
  for (const version of ptxVersions) {
    const older = text.replace(marked, `.version ${version}`);
    await writeFile(candidate, older);
    try {
      await run(assembler, ["-arch=sm_80", "-o", join(folder, "older.cubin"), candidate]);
      return { text: older, version };
    } catch {
      // It uses what came later.
    }
  }
  return { text, version: marked.exec(text)?.[1] ?? basename(nvcc.version) };
}

async function withFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), "phdc-nvcc-"));
  try {
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
