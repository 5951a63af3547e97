import { describe, expect, it } from "vitest";
import type { Kernel } from "../../../src/ir/kernel/kernel.js";
import { addBias, rmsNorm } from "../kernel-ir/example-kernels.js";
import { bf16Product, stagedProduct } from "../kernel-ir/matrix-kernels.js";
import { controlConstructs, floatConstructs, integerConstructs, vectorConstructs } from "../wgsl/construct-kernels.js";
import { halfConstructs, warpConstructs } from "./construct-kernels.js";
import { compileCuda, findNvcc, ptxOf } from "./nvcc.js";

const nvcc = findNvcc();
if (nvcc === undefined) console.warn("no nvcc on this machine: the emitted CUDA is not compiled");

const kernels: readonly Kernel[] = [
  addBias(),
  rmsNorm({}),
  rmsNorm({ subgroups: { minSize: 32, maxSize: 32 } }),
  floatConstructs(),
  integerConstructs(),
  vectorConstructs(),
  controlConstructs(),
  warpConstructs(),
  halfConstructs(),
  bf16Product(),
  stagedProduct(),
];

describe.skipIf(nvcc === undefined)("nvcc accepts emitted kernels without a warning or a spill", () => {
  it.each(kernels)("$name for sm_80", (kernel) => {
    const { spills, registers } = compileCuda(nvcc!, kernel, "sm_80");
    expect(spills).toBe(0);
    expect(registers).toBeGreaterThan(0);
  });

  it.each(["sm_80", "sm_90a"])(
    "and asks for tensor cores, 16-byte loads and asynchronous copies on %s",
    (architecture) => {
      const direct = ptxOf(nvcc!, bf16Product(), architecture);
      expect(direct).toMatch(/mma\.sync\.aligned\.m16n8k16\.row\.col\.f32\.bf16/);
      expect(direct).toMatch(/ld\.global\.nc(\.L\w+::\w+)?\.v4\.[bu]32/);
      const staged = ptxOf(nvcc!, stagedProduct(), architecture);
      expect(staged).toMatch(/cp\.async\.cg\.shared\.global/);
      expect(staged).toMatch(/ldmatrix\.sync\.aligned\.m8n8\.x4/);
    },
  );
});
