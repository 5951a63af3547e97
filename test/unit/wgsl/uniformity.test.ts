import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { InternalError } from "../../../src/diagnostics/diagnostic.js";
import type { Kernel } from "../../../src/ir/kernel/kernel.js";
import { eachStatement } from "../../../src/ir/kernel/walk.js";
import { runInDeno } from "./deno.js";
import { buildPlan, kernelPlan } from "./random-kernels.js";
import { compileOnDevice, openDevice } from "./run-on-device.js";

/** Random kernels that the verifier accepts; only those with something that needs uniform control flow. */
function acceptedKernels(count: number): readonly Kernel[] {
  const accepted: Kernel[] = [];
  for (const plan of fc.sample(kernelPlan, { seed: 7, numRuns: count })) {
    try {
      const kernel = buildPlan(plan);
      if (meets(kernel)) accepted.push(kernel);
    } catch (error) {
      if (!(error instanceof InternalError)) throw error;
    }
  }
  return accepted;
}

/** Whether a barrier or a uniform load stands inside control flow. */
function meets(kernel: Kernel): boolean {
  const nested = kernel.body.filter(({ kind }) => kind === "if" || kind === "for" || kind === "while");
  let found = false;
  eachStatement(nested, ({ kind }) => {
    found ||= kind === "barrier" || kind === "uniform-load";
  });
  return found;
}

describe("kernels whose barriers the verifier accepts", () => {
  const kernels = acceptedKernels(4000);

  it("are many, so that the tests below say something", () => {
    expect(kernels.length).toBeGreaterThan(100);
  });

  it("pass the uniformity analysis of Dawn", async () => {
    const device = await openDevice();
    for (const kernel of kernels) await compileOnDevice(device, kernel);
  });

  it("pass that of naga", async () => {
    const buffers = { fixed: new Uint32Array(32), changing: new Uint32Array(32) };
    const trials = kernels.map((kernel) => {
      const params: Record<string, number> = kernel.params.length > 0 ? { bound: 0 } : {};
      return { about: kernel.name, kernel, run: { buffers, params, workgroups: [0, 0, 0] as const }, tolerance: 0 };
    });
    const results = await runInDeno(trials);
    for (const result of results) if (result.kind === "refused") expect.fail(result.error);
  });
});
