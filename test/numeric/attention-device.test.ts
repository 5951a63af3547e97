import { beforeAll, describe, expect, it } from "vitest";
import { runKernel } from "../../src/interpret/kernel/run-kernel.js";
import { type Capabilities, portableCapabilities } from "../../src/ir/kernel/capabilities.js";
import { argmax } from "../../src/kernels/sampling/argmax.js";
import { sample } from "../../src/kernels/sampling/sample.js";
import { expectAgreement, interpreted } from "../unit/wgsl/compare.js";
import { runInDeno } from "../unit/wgsl/deno.js";
import { openDevice, runOnDevice, type TestDevice } from "../unit/wgsl/run-on-device.js";
import type { AttentionCase } from "./attention-reference.js";
import { dilated, naive, phd, phdCswa, phdSwa, vanilla } from "./attention-relations.js";
import { newest, type Prepared, prepareDecode, preparePrefill, slice } from "./attention-runs.js";
import { randomFloats } from "./linear-reference.js";

let device: TestDevice;
let withSubgroups: Capabilities;

beforeAll(async () => {
  device = await openDevice();
  // Where the adapter has none, this runs the same kernels twice.
  const subgroups = device.features.has("subgroups") ? { minSize: device.subgroupSize, maxSize: 128 } : undefined;
  withSubgroups = { ...portableCapabilities, subgroups };
});

async function runAll(prepared: Prepared) {
  for (const { kernel, ...run } of prepared.runs) await runOnDevice(device, kernel, run);
  prepared.check();
}

const shape = { heads: 4, kvHeads: 2, width: 32, cache: "f32", tileRows: 16 } as const;

describe("on a WebGPU device, decode attention", () => {
  it.each([vanilla, naive(2), phdCswa(3, 16, 32), dilated(2, 3, 12)])(
    "gives all copies of $name what they see",
    async (relation) => {
      const sequences = [1, 33, 70].map((length) => newest(length, relation.copies));
      const test: AttentionCase = { ...shape, relation, sequences, order: "decode", store: "ring" };
      await runAll(prepareDecode(test, portableCapabilities, 3));
      await runAll(prepareDecode(test, withSubgroups, 2));
    },
  );

  it("handles narrow, wide and odd heads, one row and many", async () => {
    const sequences = [newest(41, 2), newest(3, 2)];
    const test: AttentionCase = { ...shape, relation: phd(2), sequences, order: "decode", store: "forever" };
    for (const width of [5, 24, 128]) await runAll(prepareDecode({ ...test, width }, withSubgroups, 2));
    await runAll(prepareDecode({ ...test, heads: 1, kvHeads: 1, tileRows: 1 }, withSubgroups, 4));
    await runAll(prepareDecode({ ...test, heads: 70, kvHeads: 1, width: 8 }, portableCapabilities, 1));
  });
});

describe("on a WebGPU device, prefill attention", () => {
  it.each([phdSwa(5, 7), phdCswa(3, 16, 8), dilated(2, 3, 12)])(
    "gives every token of $name what it sees",
    async (relation) => {
      const sequences = [slice(2, relation.copies), slice(45, relation.copies, 20)];
      const test: AttentionCase = { ...shape, relation, sequences, order: "prefill", store: "scratch" };
      await runAll(preparePrefill(test, portableCapabilities));
      await runAll(preparePrefill({ ...test, heads: 8, width: 64 }, withSubgroups));
    },
  );
});

describe("on a WebGPU device, sampling", () => {
  const [vocab, batch, copies] = [1003, 4, 2];
  const control = () => new Int32Array(batch * 4 + batch * copies * 4);
  const table = { sequences_at: 0, sequence_stride: 4, rows_at: batch * 4, batch, context: 1000 };
  const logits = randomFloats(3, vocab * batch, 4);
  const workgroups = [batch, 1, 1] as const;

  it("chooses the tokens that the interpreter chooses", async () => {
    const kernel = argmax({ vocab, copies, capabilities: portableCapabilities });
    const [own, expected] = [control(), control()];
    runKernel(kernel, { buffers: { logits, control: expected }, params: table, workgroups });
    await runOnDevice(device, kernel, { buffers: { logits, control: own }, params: table, workgroups });
    expect([...own]).toEqual([...expected]);
  });

  it.each([
    { temperature: 0, top_k: 0, top_p: 1 },
    { temperature: 1, top_k: 0, top_p: 1 },
    { temperature: 0.7, top_k: 40, top_p: 0.9 },
    { temperature: 2, top_k: 1, top_p: 1 },
  ])("draws the tokens that the interpreter draws, with %o", async (settings) => {
    const kernel = sample({ vocab, copies, capabilities: portableCapabilities });
    const [own, expected] = [control(), control()];
    const params = { ...table, ...settings, seed: 7 };
    runKernel(kernel, { buffers: { logits, control: expected }, params, workgroups });
    await runOnDevice(device, kernel, { buffers: { logits, control: own }, params, workgroups });
    expect([...own]).toEqual([...expected]);
  });
});

describe("in Deno, attention over f16 caches", () => {
  it("agrees with the interpreter in prefill and decode", async (context) => {
    const relation = phdCswa(3, 16, 32);
    const capabilities = { ...portableCapabilities, f16: true };
    const test = { ...shape, relation, cache: "f16", store: "scratch" } as const;
    const trials = [
      preparePrefill({ ...test, order: "prefill", sequences: [slice(40, 3, 25), slice(3, 3)] }, capabilities),
      prepareDecode({ ...test, order: "decode", sequences: [newest(70, 3), newest(33, 3)] }, capabilities, 2),
    ].map(({ runs: [first] }) => {
      const { kernel, ...run } = first!;
      return { about: kernel.name, kernel, run, tolerance: 1e-5 };
    });
    const results = await runInDeno(trials);
    for (const [i, result] of results.entries()) {
      if (result.kind === "skipped") return context.skip(result.reason);
      if (result.kind === "refused") return expect.fail(result.error);
      const { kernel, run, tolerance } = trials[i]!;
      const expected = interpreted(kernel, run, 4);
      for (const { name, access } of kernel.buffers) {
        if (access === "read_write")
          expectAgreement({ [name]: result.buffers[name]! }, { [name]: expected[name]! }, tolerance);
      }
    }
  });
});
