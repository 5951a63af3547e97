/** What nvcc makes of whole models: every kernel compiles, and those that the time goes to keep everything in registers. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { compileSource } from "../../../src/compile.js";
import type { Kernel } from "../../../src/ir/kernel/kernel.js";
import type { FloatType } from "../../../src/ir/kernel/types.js";
import { compileCuda, findNvcc } from "./nvcc.js";

const nvcc = findNvcc();
if (nvcc === undefined) console.warn("no nvcc on this machine: the kernels of models are not compiled");

const minutes = 60_000;

function kernelsOf(name: string, dtype: FloatType): readonly Kernel[] {
  const file = new URL(`../../../examples/${name}.phd`, import.meta.url);
  const { program } = compileSource(
    { name: `${name}.phd`, text: readFileSync(file, "utf8") },
    { target: "cuda", dtype },
  );
  return program!.kernelPrograms;
}

const isHot = ({ name }: Kernel) => /^(linear|prefill_attention|decode_attention)/.test(name);

describe.skipIf(nvcc === undefined)("nvcc compiles", () => {
  it.each(["f32", "f16", "bf16"] as const)(
    "every kernel of a small model in %s without a warning",
    (dtype) => {
      for (const kernel of kernelsOf("phd-cswa-3-16-32", dtype)) {
        expect(compileCuda(nvcc!, kernel, "sm_80").registers, kernel.name).toBeGreaterThan(0);
      }
    },
    5 * minutes,
  );

  // The two examples of true size have heads of 96 and of 64; all of their products and attentions, in either architecture's registers.
  it.each([
    ["olmo2-550m-phd-swa-2-16", "sm_80"],
    ["olmo2-550m-phd-swa-2-16", "sm_90a"],
    ["olmo2-1.2b-phd-cswa-3-16-32", "sm_90a"],
  ] as const)(
    "products and attention of %s for %s without a spill",
    (name, architecture) => {
      const hot = kernelsOf(name, "bf16").filter(isHot);
      expect(hot.length).toBeGreaterThan(20);
      for (const kernel of hot) {
        expect(compileCuda(nvcc!, kernel, architecture).spills, kernel.name).toBe(0);
      }
    },
    5 * minutes,
  );
});
