/** What nvcc makes of whole models: every kernel compiles, and those that the time goes to keep everything in registers. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { compileSource } from "../../../src/compile.js";
import type { Kernel } from "../../../src/ir/kernel/kernel.js";
import type { FloatType } from "../../../src/ir/kernel/types.js";
import type { Quantisation } from "../../../src/runtime/manifest.js";
import { codeOf, compileTogether, findNvcc } from "./nvcc.js";

const nvcc = findNvcc();
if (nvcc === undefined) console.warn("no nvcc on this machine: the kernels of models are not compiled");

const minutes = 60_000;

function kernelsOf(name: string, dtype: FloatType, quantise?: Quantisation): readonly Kernel[] {
  const file = new URL(`../../../examples/${name}.phd`, import.meta.url);
  const { program } = compileSource(
    { name: `${name}.phd`, text: readFileSync(file, "utf8") },
    { target: "cuda", dtype, ...(quantise && { quantise }) },
  );
  return program!.kernelPrograms;
}

const isHot = ({ name }: Kernel) => /^(linear|prefill_attention|decode_attention)/.test(name);

describe.skipIf(nvcc === undefined)("nvcc compiles", () => {
  it.each(["f32", "f16", "bf16"] as const)(
    "every kernel of a small model in %s without a warning",
    (dtype) => {
      const kernels = kernelsOf("phd-cswa-3-16-32", dtype);
      const compiled = compileTogether(nvcc!, kernels, "sm_80");
      expect([...compiled.keys()].sort()).toEqual(kernels.map(({ name }) => name).sort());
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
      const compiled = compileTogether(nvcc!, hot, architecture);
      expect(compiled.size).toBe(hot.length);
      expect(hot.length).toBeGreaterThan(20);
      for (const [kernel, { spills }] of compiled) expect(spills, kernel).toBe(0);
    },
    5 * minutes,
  );

  it(
    "every kernel so that it loads nothing before the kernel before it has ended, but a product of few rows its first weights",
    () => {
      const kernels = kernelsOf("olmo2-550m-phd-swa-2-16", "bf16");
      const code = codeOf(nvcc!, kernels, "sm_90a");
      for (const { name } of kernels) {
        const instructions = code.get(name)!;
        const wait = instructions.findIndex(({ kind }) => kind === "wait");
        expect(wait, name).toBeGreaterThanOrEqual(0);
        const early = instructions.slice(0, wait).filter(({ kind }) => kind === "load");
        expect(
          early.filter(({ once }) => !once),
          name,
        ).toEqual([]);
        // At least four loads of 16 bytes a lane.
        if (/_mma_m(8|16|32)$/.test(name)) expect(early.length, name).toBeGreaterThanOrEqual(4);
      }
    },
    5 * minutes,
  );

  it.each([
    [4, 32, "sm_80"],
    [4, 32, "sm_90a"],
    [8, 32, "sm_80"],
    [8, 32, "sm_90a"],
  ] as const)(
    "products with %i bits in groups of %i for %s without a spill",
    (bits, group, architecture) => {
      const kernels = kernelsOf("olmo2-550m-phd-swa-2-16", "bf16", { bits, group });
      const products = kernels.filter(({ name }) => name.includes(`int${bits}x${group}`));
      const compiled = compileTogether(nvcc!, products, architecture);
      expect(compiled.size).toBe(products.length);
      expect(products.length).toBeGreaterThan(15);
      for (const [kernel, { spills }] of compiled) expect(spills, kernel).toBe(0);
    },
    5 * minutes,
  );
});
