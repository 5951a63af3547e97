import { describe, expect, it } from "vitest";
import { DeviceError } from "../../../src/runtime/errors.js";
import type { KernelInfo, Manifest } from "../../../src/runtime/manifest.js";
import type { Device } from "../../../src/runtime/webgpu/device.js";
import { KernelSet } from "../../../src/runtime/webgpu/kernels.js";

const names = ["one", "two", "three", "four", "five"];

function manifest(): Manifest {
  const kernels = names.map((name) => ({ name, file: `kernels/${name}.wgsl`, entryPoint: name, bindings: [] }));
  return { kernels: kernels as unknown as readonly KernelInfo[] } as Manifest;
}

/** A device that compiles only when it is told to, and keeps count of what is under way. */
function slowDevice() {
  const started: string[] = [];
  const finish = new Map<string, { resolve(): void; reject(): void }>();
  const gpu = {
    createShaderModule: () => ({ getCompilationInfo: async () => ({ messages: [] }) }),
    createBindGroupLayout: () => ({}),
    createPipelineLayout: () => ({}),
    createComputePipelineAsync: ({ label }: { label: string }) => {
      started.push(label);
      return new Promise((resolve, reject) => {
        finish.set(label, { resolve: () => resolve({ label }), reject: () => reject(new Error("too many registers")) });
      });
    },
  };
  // As with a real device, errors of a scope are known only some time after it.
  const checked = async (_: string, work: () => unknown) => {
    const result = work();
    await new Promise((resolve) => setTimeout(resolve, 1));
    return result;
  };
  const device = { gpu, checked, wait: (promise: unknown) => promise } as unknown as Device;
  return { device, started, finish };
}

/** Until everything that can start has started. */
const settle = () => new Promise((resolve) => setTimeout(resolve, 20));

describe("the kernels of a session", () => {
  it("are all under way before the first is compiled", async () => {
    const { device, started, finish } = slowDevice();
    const kernels = new KernelSet(device, manifest(), { readText: async (file) => `// ${file}` });
    const all = kernels.compiled(names);
    await settle();
    expect([...started].sort()).toEqual([...names].sort());
    for (const { resolve } of [...finish.values()].reverse()) resolve();
    expect([...(await all).keys()]).toEqual(names);
  });

  it("are compiled once, also when they are asked for again while they are under way", async () => {
    const { device, started, finish } = slowDevice();
    const kernels = new KernelSet(device, manifest(), { readText: async () => "" });
    const both = [kernels.compiled(["one", "two"]), kernels.compiled(["two", "three"])];
    await settle();
    expect([...started].sort()).toEqual(["one", "three", "two"]);
    for (const { resolve } of finish.values()) resolve();
    await Promise.all(both);
    await kernels.compiled(["one", "two", "three"]);
    expect(started.length).toBe(3);
  });

  it("are waited for when one of them fails, which is named", async () => {
    const { device, finish } = slowDevice();
    const kernels = new KernelSet(device, manifest(), { readText: async () => "" });
    let ended = false;
    const all = kernels.compiled(names).finally(() => {
      ended = true;
    });
    const failure = expect(all).rejects.toThrow(/refused the kernel two .*too many registers/);
    await settle();
    finish.get("two")!.reject();
    await settle();
    expect(ended).toBe(false);
    for (const { resolve } of finish.values()) resolve();
    await failure;
    await expect(all).rejects.toBeInstanceOf(DeviceError);
  });
});
