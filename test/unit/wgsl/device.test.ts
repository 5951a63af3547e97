import { beforeAll, describe, expect, it } from "vitest";
import { type BufferData, runKernel } from "../../../src/interpret/kernel/run-kernel.js";
import type { Kernel } from "../../../src/ir/kernel/kernel.js";
import { addBias, rmsNorm } from "../kernel-ir/example-kernels.js";
import {
  controlConstructs,
  floatConstructs,
  integerConstructs,
  subgroupConstructs,
  vectorConstructs,
} from "./construct-kernels.js";
import { type DeviceRun, openDevice, runOnDevice, type TestDevice } from "./run-on-device.js";

const values = (length: number, scale = 2) => Float32Array.from({ length }, (_, i) => Math.sin(i * 2.3 + 1) * scale);

/** Runs a kernel on both; integers must agree exactly, floats up to `tolerance` relative to 1 + |value|. */
async function compare(test: TestDevice, kernel: Kernel, run: DeviceRun, tolerance: number, subgroupSize = 4) {
  const copies = Object.fromEntries(
    Object.entries(run.buffers).map(([name, data]) => [name, data.slice() as BufferData]),
  );
  runKernel(kernel, { ...run, buffers: copies, subgroupSize, detectRaces: true });
  await runOnDevice(test, kernel, run);
  for (const { name } of kernel.buffers) {
    const [expected, found] = [copies[name]!, run.buffers[name]!];
    expected.forEach((value, i) => {
      const limit = expected instanceof Float32Array ? tolerance * (1 + Math.abs(value)) : 0;
      expect(Math.abs(found[i]! - value), `${name}[${i}]: ${found[i]} for ${value}`).toBeLessThanOrEqual(limit);
    });
  }
}

describe("a WebGPU device runs emitted kernels like the interpreter", () => {
  let test: TestDevice;
  beforeAll(async () => {
    test = await openDevice();
  });

  it("for a bias added to rows", async () => {
    const run = { buffers: { x: values(70), bias: values(7) }, params: { rows: 9, width: 7 } };
    await compare(test, addBias(), { ...run, workgroups: [2, 1, 1] }, 0);
  });

  it("for RMS norm, with and without subgroups", async () => {
    for (const subgroups of [undefined, { minSize: 4, maxSize: 128 }]) {
      const buffers = { x: values(3 * 280), weight: values(280), y: new Float32Array(3 * 280) };
      // Sums in another order: some units in the last place.
      const run = { buffers, params: { width: 280, epsilon: 1e-5 }, workgroups: [3, 1, 1] as const };
      await compare(test, rmsNorm({ subgroups }), run, 1e-6);
    }
  });

  it("for every function of floats", async () => {
    const buffers = { x: values(16), y: new Float32Array(16 * 23) };
    // Devices may compute exp, log and tanh to some units in the last place.
    await compare(test, floatConstructs(), { buffers, params: {}, workgroups: [1, 1, 1] }, 3e-6);
  });

  it("for integers that wrap, shift and divide on both sides of zero", async () => {
    const buffers = { y: new Int32Array(16 * 17) };
    await compare(
      test,
      integerConstructs(),
      { buffers, params: { offset: 8, scale: 3000000000 }, workgroups: [1, 1, 1] },
      0,
    );
  });

  it("for vectors and packed halves", async () => {
    const buffers = { x: values(64, 9), y: new Float32Array(16 * 8 * 4), bits: new Uint32Array(32) };
    await compare(test, vectorConstructs(), { buffers, params: {}, workgroups: [1, 1, 1] }, 1e-6);
  });

  it("for loops, branches, registers, workgroup memory, atomics and uniform loads", async () => {
    const buffers = { filter: values(100), target: new Float32Array(16) };
    await compare(test, controlConstructs(), { buffers, params: { length: 99 }, workgroups: [1, 1, 1] }, 1e-5);
  });

  it("for subgroup operations", async (context) => {
    if (!test.adapter.features.has("subgroups")) context.skip("the adapter has no subgroups");
    const buffers = { x: values(16), y: new Float32Array(16 * 8) };
    await compare(test, subgroupConstructs(), { buffers, params: {}, workgroups: [1, 1, 1] }, 1e-6);
  });
});
