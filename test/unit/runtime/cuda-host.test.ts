import { describe, expect, it } from "vitest";
import { CudaDevice } from "../../../src/runtime/cuda/device.js";
import type { DriverFunction } from "../../../src/runtime/cuda/driver.js";
import { loadDriver } from "../../../src/runtime/cuda/koffi-driver.js";
import type { ModuleBuilder } from "../../../src/runtime/cuda/module-builder.js";
import { DeviceError, NoAdapter, type PhdcError } from "../../../src/runtime/errors.js";
import { generate } from "../../../src/runtime/generate.js";
import type { Manifest } from "../../../src/runtime/manifest.js";
import { loadModel, type Model } from "../../../src/runtime/model.js";
import { FakeDriver } from "./fake-driver.js";
import { type ToyOptions, toyCheckpoint, toyPackage } from "./toy-model.js";

const windowed: ToyOptions = { layers: 3, copies: 3, window: 5 };

/** The toy model as a package for CUDA; its kernels run nowhere. */
function cudaPackage(modules: Manifest["modules"] = { headers: [] }) {
  const { manifest } = toyPackage(windowed);
  return {
    manifest: {
      ...manifest,
      target: "cuda",
      modules,
      kernels: manifest.kernels.map((kernel) => ({
        ...kernel,
        language: "cuda",
        file: `kernels/${kernel.name}.cu`,
        entryPoint: kernel.name,
      })),
    } satisfies Manifest as Manifest,
    readText: async (file: string) => `text of ${file}`,
    readBytes: async (file: string) => new TextEncoder().encode(`bytes of ${file}`),
  };
}

const builder: ModuleBuilder = {
  name: "the tests' compiler",
  build: async ({ kernels }) => [
    { kernels: kernels.map(({ info }) => info.name), image: new TextEncoder().encode("built") },
  ],
};

async function open(driver = new FakeDriver(), source = cudaPackage(), builders: readonly ModuleBuilder[] = [builder]) {
  const device = CudaDevice.open(driver, { builders });
  try {
    const model = await loadModel(device, { ...source, checkpoint: await toyCheckpoint() });
    return { driver, device, model };
  } catch (error) {
    device.close();
    throw error;
  }
}

/** Reads a prompt, generates, closes everything. */
async function useAll(model: Model, device: CudaDevice, maxTokens = 6): Promise<number> {
  const session = await model.openSession({ context: 30, slice: 4 });
  let count = 0;
  try {
    for await (const _ of generate(session, [[1, 2, 3, 4, 5, 6]], { maxTokens })) count++;
  } finally {
    session.close();
    model.close();
    device.close();
  }
  return count;
}

describe("a decode step on CUDA", () => {
  it("is one graph, captured once and replayed per token, and four bytes are read back", async () => {
    const { driver, device, model } = await open();
    expect(await useAll(model, device, 9)).toBe(9);
    // The first token comes with the prefill.
    expect(driver.count("cuGraphLaunch")).toBe(8);
    expect(driver.count("cuGraphInstantiateWithFlags")).toBe(1);
    expect(driver.readBytes).toBe(9 * 4);
  });

  it("launches what its prefill launches in its own phase: blocks, threads, pointers, parameters", async () => {
    const { driver, device, model } = await open();
    const session = await model.openSession({ context: 30 });
    await session.prefill([[1, 2, 3]]);
    const head = driver.launches.findLast(({ kernel }) => kernel === "head")!;
    expect(head.grid).toEqual([1, 1, 1]);
    expect(head.threads).toBe(64);
    // Bindings x and logits, then row_base and row_count: three positions of three copies, of which the last row predicts.
    const address = (index: number) => new BigUint64Array(head.argumentsAt(index, 8).buffer)[0]!;
    expect(driver.deviceMemory(address(0)).byteLength).toBeGreaterThan(0);
    expect(address(0)).not.toBe(address(1));
    const [rowBase, rowCount] = new Uint32Array(head.argumentsAt(2, 8).buffer);
    expect(rowCount).toBe(1);
    expect(rowBase).toBeGreaterThan(0);
    session.close();
    model.close();
    device.close();
  });

  it.each([
    ["begins each kernel early that waits by itself, where its text was compiled for that", 9, "sm_90a", true],
    ["begins none early on a device that cannot", 8, "sm_80", false],
    ["begins none early that the driver made of PTX, which is for older devices", 9, "sm_80", false],
  ])("%s", async (_, major, architecture, early) => {
    const driver = new FakeDriver();
    driver.major = major;
    driver.refuse = (name, args) => {
      const image = name === "cuModuleLoadDataEx" ? new TextDecoder().decode(args[1] as Uint8Array) : "";
      return image.includes("fatbin") && architecture === "sm_80" && major === 9 ? 209 : undefined;
    };
    const { manifest, ...files } = cudaPackage({
      headers: [],
      fatbin: { file: "kernels/kernels.fatbin", sha256: "", architectures: [architecture] },
      ptx: { file: "kernels/kernels.ptx", sha256: "", architecture: "compute_80", version: "7.0" },
    });
    const kernels = manifest.kernels.map((kernel) =>
      kernel.name === "argmax" ? kernel : { ...kernel, features: ["dependent-launch"] },
    );
    const { device, model } = await open(driver, { ...files, manifest: { ...manifest, kernels } });
    await useAll(model, device);
    expect(driver.launches.length).toBeGreaterThan(20);
    for (const launch of driver.launches) expect(launch.early, launch.kernel).toBe(early && launch.kernel !== "argmax");
  });

  it("finds zeros where nothing was written", async () => {
    const driver = new FakeDriver();
    const device = CudaDevice.open(driver);
    const buffers = await device.allocate([{ name: "x", purpose: "working", bytes: 64 }]);
    expect([...driver.deviceMemory(buffers.get("x")!.address)]).toEqual(new Array(64).fill(0));
    buffers.get("x")!.destroy();
    device.close();
  });
});

describe("everything that is taken from the driver", () => {
  it("is given back when session, model and device are closed", async () => {
    const { driver, device, model } = await open();
    expect(Object.keys(device.resources).length).toBeGreaterThan(0);
    await useAll(model, device);
    expect(device.resources).toEqual({});
    expect(driver.live).toBe(0);
  });

  it("is given back by a session alone, as often as one is opened", async () => {
    const { driver, device, model } = await open();
    const before = device.resources;
    const held = driver.live;
    for (let round = 0; round < 3; round++) {
      const session = await model.openSession({ context: 20, poison: true, validate: true });
      await session.prefill([[1, 2, 3]]);
      await session.decode([4]);
      session.close();
      // Kernels that were loaded meanwhile stay with the model.
      expect({ ...device.resources, module: 0 }).toEqual({ ...before, module: 0 });
    }
    model.close();
    device.close();
    expect(held).toBeGreaterThan(0);
    expect(driver.live).toBe(0);
  });

  it("is given back when a model does not fit, and the error has the figures", async () => {
    const driver = new FakeDriver();
    let allocations = 0;
    driver.refuse = (name) => (name === "cuMemAlloc_v2" && ++allocations === 3 ? 2 : undefined);
    await expect(open(driver)).rejects.toMatchObject({
      name: "OutOfMemory",
      message: expect.stringMatching(/bytes for .*: cuMemAlloc_v2 gave CUDA_ERROR_OUT_OF_MEMORY: out of memory$/),
      details: { call: "cuMemAlloc_v2", result: "CUDA_ERROR_OUT_OF_MEMORY", free: 12345678, total: 2 ** 30 },
    });
    expect(driver.live).toBe(0);
  });
});

describe("a call that the driver refuses", () => {
  /** What a full run calls, but for what only describes errors. */
  const called = async () => {
    const { driver, device, model } = await open();
    await useAll(model, device);
    return [...new Set(driver.calls)];
  };

  it("is named, with its result and what that means, whichever it is", async () => {
    const functions = (await called()).filter((name) => name !== "cuCtxSetCurrent" && name !== "cuMemGetInfo_v2");
    expect(functions.length).toBeGreaterThan(25);
    for (const name of functions) {
      const driver = new FakeDriver();
      driver.refuse = (call) => (call === name ? 1 : undefined);
      const run = async () => {
        const { device, model } = await open(driver);
        await useAll(model, device);
      };
      await expect(run(), name).rejects.toThrow(`${name} gave CUDA_ERROR_INVALID_VALUE: invalid argument`);
    }
  });

  it("ends everything when the context is lost, and what is closed afterwards says no more", async () => {
    const { driver, device, model } = await open();
    const session = await model.openSession({ context: 20 });
    driver.refuse = (name) => (name.startsWith("cuGet") ? undefined : 719);
    await expect(session.prefill([[1, 2, 3]])).rejects.toMatchObject({ name: "DeviceLost", code: "device-lost" });
    driver.refuse = () => undefined;
    await expect(session.prefill([[1, 2, 3]])).rejects.toMatchObject({ name: "DeviceLost" });
    driver.refuse = (name) => (name.startsWith("cuGet") ? undefined : 719);
    session.close();
    model.close();
    device.close();
    expect(device.resources).toEqual({});
  });
});

describe("the kernels of a package", () => {
  const ready = {
    headers: [],
    fatbin: { file: "kernels/kernels.fatbin", sha256: "", architectures: ["sm_80"] },
    ptx: { file: "kernels/kernels.ptx", sha256: "", architecture: "compute_80", version: "7.0" },
  };

  async function imagesOf(refusals: readonly (number | undefined)[], modules: Manifest["modules"] = ready) {
    const driver = new FakeDriver();
    let loads = 0;
    const seen: string[] = [];
    driver.refuse = (name: DriverFunction, args) => {
      if (name !== "cuModuleLoadDataEx") return undefined;
      seen.push(new TextDecoder().decode(args[1] as Uint8Array).replaceAll("\0", ""));
      return refusals[loads++];
    };
    const { device, model } = await open(driver, cudaPackage(modules));
    await useAll(model, device);
    expect(driver.live).toBe(0);
    return [...new Set(seen)];
  }

  it("come from the fat binary, all with one module", async () => {
    expect(await imagesOf([])).toEqual(["bytes of kernels/kernels.fatbin"]);
  });

  it("come from the PTX where the driver has no use for the fat binary", async () => {
    expect(await imagesOf([209])).toEqual(["bytes of kernels/kernels.fatbin", "bytes of kernels/kernels.ptx"]);
  });

  it("are compiled from their texts where the driver refuses both", async () => {
    expect(await imagesOf([209, 222])).toEqual([
      "bytes of kernels/kernels.fatbin",
      "bytes of kernels/kernels.ptx",
      "built",
    ]);
  });

  it("are compiled from their texts where the package holds nothing else", async () => {
    expect(await imagesOf([], { headers: [] })).toEqual(["built"]);
  });

  it("are missed with everything that was tried", async () => {
    const driver = new FakeDriver();
    driver.refuse = (name) => (name === "cuModuleLoadDataEx" ? 209 : undefined);
    const broken: ModuleBuilder = {
      name: "a compiler that is not there",
      build: async () => {
        throw new NoAdapter("it is not there");
      },
    };
    const { device, model } = await open(driver, cudaPackage(ready), [broken]);
    const session = await model.openSession({ context: 20 });
    const failure = await session.prefill([[1]]).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(DeviceError);
    expect((failure as PhdcError).message).toMatch(
      /kernels\.fatbin: .*NO_BINARY_FOR_GPU.*; .*kernels\.ptx: .*; a compiler that is not there: it is not there/,
    );
    session.close();
    model.close();
    device.close();
    expect(driver.live).toBe(0);
  });
});

describe("a device that is not there", () => {
  it("is a typed error where there is no driver library", () => {
    const load = () => loadDriver("libno-such-driver.so.1");
    expect(load).toThrow(NoAdapter);
    expect(load).toThrow(/no CUDA driver: libno-such-driver\.so\.1/);
  });

  it("is a typed error where the driver finds no GPU, or fewer than were asked for", () => {
    const driver = new FakeDriver();
    expect(() => CudaDevice.open(driver, { ordinal: 1 })).toThrow("has 1 devices, and number 1 was asked for");
    driver.refuse = (name) => (name === "cuInit" ? 100 : undefined);
    expect(() => CudaDevice.open(driver)).toThrow(NoAdapter);
    expect(() => CudaDevice.open(driver)).toThrow("cuInit gave CUDA_ERROR_NO_DEVICE: no CUDA-capable device");
  });

  it("is a typed error where it is older than the kernels are for", async () => {
    const driver = new FakeDriver();
    driver.major = 7;
    await expect(open(driver)).rejects.toMatchObject({
      name: "MissingFeature",
      message: "Tester (sm_70, CUDA driver 12.4) lacks computeCapability of 80 (it offers 70)",
    });
  });
});
