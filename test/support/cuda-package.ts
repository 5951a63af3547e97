import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { runCli } from "../cli/run-cli.js";

const example = join(fileURLToPath(new URL("../..", import.meta.url)), "examples/phd-cswa-3-16-32.phd");

/** Compiles an example to a CUDA package with the texts of its kernels alone, as the command line does. */
export async function compileCudaPackage(folder: string, dtype: string): Promise<void> {
  const options = ["--target", "cuda", "--dtype", dtype, "--no-nvcc", "-o", folder];
  const { code, stderr } = await runCli(["compile", example, ...options]);
  expect(code, stderr).toBe(0);
}
