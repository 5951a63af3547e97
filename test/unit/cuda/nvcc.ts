import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readCubin } from "../../../bench/sass.mjs";
import { emitCuda } from "../../../src/backends/cuda/module.js";
import { cudaPreamble, preambleName } from "../../../src/backends/cuda/preamble.js";
import type { Kernel } from "../../../src/ir/kernel/kernel.js";

/** The compiler on the path or where CUDA is usually installed; absent where there is none. */
export function findNvcc(): string | undefined {
  for (const candidate of ["nvcc", "/usr/local/cuda/bin/nvcc"]) {
    try {
      execFileSync(candidate, ["--version"], { stdio: "ignore" });
      return candidate;
    } catch {
      // Not here; try the next place.
    }
  }
  return undefined;
}

/** What ptxas says of a kernel. */
export interface Compiled {
  readonly registers: number;
  /** Bytes stored to and loaded from local memory because registers ran out. */
  readonly spills: number;
}

/** Compiles a kernel to a cubin with warnings as errors; throws the compiler's output. */
export function compileCuda(nvcc: string, kernel: Kernel, architecture: string): Compiled {
  return withSource(kernel, (source) => {
    const log = runCompiler(nvcc, ["-cubin", "-Xptxas=-v", ...commonFlags(architecture), "-o", `${source}bin`, source]);
    const total = (pattern: RegExp) => [...log.matchAll(pattern)].reduce((sum, match) => sum + Number(match[1]), 0);
    return { registers: total(/Used (\d+) registers/g), spills: total(/(\d+) bytes spill/g) };
  });
}

/**
 * Compiles kernels of different names in one go, which takes a fraction of the time: the headers are read once. Throws the compiler's
 * output.
 */
export function compileTogether(
  nvcc: string,
  kernels: readonly Kernel[],
  architecture: string,
): ReadonlyMap<string, Compiled> {
  return withText("kernels", kernels.map(emitCuda).join("\n"), (source) => {
    const log = runCompiler(nvcc, ["-cubin", "-Xptxas=-v", ...commonFlags(architecture), "-o", `${source}bin`, source]);
    const entries = log.split("Compiling entry function '").slice(1);
    return new Map(
      entries.map((entry) => {
        const number = (pattern: RegExp) => Number(pattern.exec(entry)?.[1] ?? 0);
        const spills = number(/(\d+) bytes spill stores/) + number(/(\d+) bytes spill loads/);
        return [entry.slice(0, entry.indexOf("'")), { registers: number(/Used (\d+) registers/), spills }];
      }),
    );
  });
}

/** The instructions of kernels of different names, as the device will run them. */
export function codeOf(nvcc: string, kernels: readonly Kernel[], architecture: string): ReturnType<typeof readCubin> {
  return withText("kernels", kernels.map(emitCuda).join("\n"), (source) => {
    runCompiler(nvcc, ["-cubin", ...commonFlags(architecture), "-o", `${source}bin`, source]);
    return readCubin(readFileSync(`${source}bin`));
  });
}

/** The PTX of a kernel, which shows the instructions it asks for. */
export function ptxOf(nvcc: string, kernel: Kernel, architecture: string): string {
  return withSource(kernel, (source) => {
    runCompiler(nvcc, ["-ptx", ...commonFlags(architecture), "-o", `${source}.ptx`, source]);
    return readFileSync(`${source}.ptx`, "utf8");
  });
}

const commonFlags = (architecture: string) => [`-arch=${architecture}`, "-std=c++17", "-Werror=all-warnings"];

/** Writes a kernel and the preamble into a folder that lives as long as `use`. */
function withSource<Result>(kernel: Kernel, use: (source: string) => Result): Result {
  return withText(kernel.name, emitCuda(kernel), use);
}

function withText<Result>(name: string, text: string, use: (source: string) => Result): Result {
  const folder = mkdtempSync(join(tmpdir(), "phdc-cuda-"));
  try {
    writeFileSync(join(folder, preambleName), cudaPreamble());
    const source = join(folder, `${name}.cu`);
    writeFileSync(source, text);
    return use(source);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function runCompiler(nvcc: string, flags: readonly string[]): string {
  try {
    // ptxas reports on stderr.
    return execFileSync("/bin/sh", ["-c", '"$0" "$@" 2>&1', nvcc, ...flags], { encoding: "utf8" });
  } catch (error) {
    throw new Error((error as { readonly stdout: string }).stdout);
  }
}
