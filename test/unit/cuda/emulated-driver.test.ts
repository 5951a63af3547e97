/** The stand-in for the CUDA driver: what a host can rely on, and what it is told when it goes wrong. */
import { randomUUID } from "node:crypto";
import { existsSync, readFileSync, statSync, utimesSync } from "node:fs";
import koffi from "koffi";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { emitCuda } from "../../../src/backends/cuda/module.js";
import { buildKernel } from "../../../src/ir/kernel/builder.js";
import { NoAdapter } from "../../../src/runtime/errors.js";
import { compileEmulated } from "../../../src/runtime/node/emulated-cuda.js";
import { type Driver, launchOn, made, missingCompiler, must, openDriver, startOn } from "./emulator.js";

/** Adds one to every element. */
const increment = buildKernel(
  "increment",
  { doc: "Adds one to every element.", dispatch: "one workgroup for 32 elements", workgroupSize: 32 },
  (k) => {
    const x = k.readWrite("x", "vec4<f32>");
    const count = k.param("count");
    k.if(k.globalId.lt(count), () => x.set(k.globalId, x.at(k.globalId).add(1)));
  },
);
const elements = 40;
const bytes = elements * 16;
const run = { params: { count: elements }, workgroups: [2, 1, 1] } as const;

const invalidValue = 1;
const outOfMemory = 2;
const noBinary = 209;
const invalidHandle = 400;
const notFound = 500;
const notReady = 600;
const illegalAddress = 700;
const outOfResources = 701;
const misaligned = 716;
const captureUnsupported = 900;
const captureInvalidated = 901;

let driver: Driver;
let image: Uint8Array;
let module: bigint;
let before: readonly number[];

beforeAll(async () => {
  if (missingCompiler !== undefined) return;
  driver = await openDriver();
  image = new Uint8Array(readFileSync(await compileEmulated(new Map([["increment", emitCuda(increment)]]))));
}, 120_000);

beforeEach(() => {
  if (missingCompiler !== undefined) return;
  driver.report();
  before = driver.counts();
  module = made(driver, "cuModuleLoadData", image);
});

afterEach(() => must(driver, "cuDevicePrimaryCtxReset_v2", 0));

const allocate = (size = bytes) => made(driver, "cuMemAlloc_v2", size);
const clear = (address: bigint) => must(driver, "cuMemsetD8_v2", address, 0, bytes);
const start = (address: bigint, stream = 0n) => startOn(driver, module, increment, [address], run, stream);
function read(address: bigint): Float32Array {
  const found = new Float32Array(elements * 4);
  must(driver, "cuMemcpyDtoH_v2", found, address, bytes);
  return found;
}

describe.skipIf(missingCompiler !== undefined)("memory of the emulated device", () => {
  it("holds no zeros at first, but what is no number", () => {
    expect(read(allocate())).toEqual(new Float32Array(elements * 4).fill(Number.NaN));
  });

  it("runs out where the environment says so, and says how much is left", () => {
    process.env["PHDC_EMULATED_MEMORY"] = "4096";
    try {
      const first = allocate(3000);
      expect(driver.cuMemAlloc_v2(new BigUint64Array(1), 2000)).toBe(outOfMemory);
      const [free, total] = [new BigUint64Array(1), new BigUint64Array(1)];
      must(driver, "cuMemGetInfo_v2", free, total);
      expect([free[0], total[0]]).toEqual([1096n, 4096n]);
      must(driver, "cuMemFree_v2", first);
      must(driver, "cuMemFree_v2", allocate(4000));
    } finally {
      delete process.env["PHDC_EMULATED_MEMORY"];
    }
  });

  it("takes no copy beyond the end of an allocation", () => {
    const address = allocate();
    expect(driver.cuMemcpyHtoD_v2(address + 16n, new Uint8Array(bytes), bytes)).toBe(invalidValue);
    expect(driver.report()).toBe(`a copy to the device of ${bytes} bytes passes the end of its allocation`);
  });

  it("knows what has been freed", () => {
    const address = allocate();
    must(driver, "cuMemFree_v2", address);
    expect(driver.cuMemcpyDtoH_v2(new Uint8Array(4), address, 4)).toBe(invalidValue);
    expect(driver.report()).toContain("touches memory that has been freed");
    expect(driver.cuMemFree_v2(address)).toBe(invalidValue);
  });
});

describe.skipIf(missingCompiler !== undefined)("a launch on the emulated device", () => {
  it("changes memory when the host waits for it", () => {
    const address = allocate();
    clear(address);
    expect(launchOn(driver, module, increment, [address], run)).toBe(0);
    expect(read(address)).toEqual(new Float32Array(elements * 4).fill(1));
  });

  it.each([
    ["memory that has been freed", "address that is illegal", illegalAddress, freed],
    ["nothing", "address that is illegal", illegalAddress, () => 0n],
    ["no memory of the device", "address that is illegal", illegalAddress, () => 4096n],
    ["an address between two elements", "address that is misaligned", misaligned, () => allocate(bytes + 16) + 4n],
  ])("on %s ends with the error of an %s, which stays until the context ends", (what, _, code, addressOf) => {
    expect(start(addressOf())).toBe(0);
    expect(driver.cuCtxSynchronize()).toBe(code);
    const report = driver.report();
    expect(report).toMatch(
      /^kernel increment, .*: thread 0 of block \(0, 0, 0\) loads x\[0\] at increment\.cu:\d+, but the buffer x /,
    );
    if (code === illegalAddress) expect(report).toContain(`points to ${what}`);
    expect(driver.cuMemAlloc_v2(new BigUint64Array(1), 16)).toBe(code);
    must(driver, "cuDevicePrimaryCtxReset_v2", 0);
    expect(allocate(16)).not.toBe(0n);
  });

  it("is refused where a block has more threads than the kernel was made for", () => {
    const wide = { ...increment, workgroupSize: 64 };
    expect(startOn(driver, module, wide, [allocate()], run, 0n)).toBe(outOfResources);
    expect(driver.report()).toBe("kernel increment is made for blocks of 32 threads, not 64");
  });

  it("needs a module that is a program of this host, and a kernel that it has", () => {
    const handle = new BigUint64Array(1);
    expect(driver.cuModuleLoadData(handle, new TextEncoder().encode(".version 8.0\0"))).toBe(noBinary);
    expect(driver.cuModuleGetFunction(handle, module, "decrement")).toBe(notFound);
  });
});

function freed(): bigint {
  const address = allocate();
  must(driver, "cuMemFree_v2", address);
  return address;
}

describe.skipIf(missingCompiler !== undefined)("streams of the emulated device", () => {
  it("are still busy when they are first asked", () => {
    const stream = made(driver, "cuStreamCreate", 1);
    const address = allocate();
    clear(address);
    start(address, stream);
    expect(driver.cuStreamQuery(stream)).toBe(notReady);
    expect(driver.cuStreamQuery(stream)).toBe(0);
    expect(read(address)[0]).toBe(1);
  });

  it("bring nothing to page-locked memory before the host waits", () => {
    const stream = made(driver, "cuStreamCreate", 1);
    const host = made(driver, "cuMemAllocHost_v2", bytes);
    const view = new Float32Array(koffi.view(host, bytes));
    view.fill(7);
    const address = allocate();
    clear(address);
    start(address, stream);
    must(driver, "cuMemcpyDtoHAsync_v2", host, address, bytes, stream);
    expect(view[0]).toBe(7);
    must(driver, "cuStreamSynchronize", stream);
    expect(view[0]).toBe(1);
  });

  it("wait for each other through events, which tell the time between them", () => {
    const [first, second] = [made(driver, "cuStreamCreate", 1), made(driver, "cuStreamCreate", 1)];
    const [begin, end] = [made(driver, "cuEventCreate", 0), made(driver, "cuEventCreate", 0)];
    const [source, target] = [allocate(), allocate()];
    clear(source);
    must(driver, "cuEventRecord", begin, first);
    start(source, first);
    must(driver, "cuEventRecord", end, first);
    must(driver, "cuStreamWaitEvent", second, end, 0);
    must(driver, "cuMemcpyDtoDAsync_v2", target, source, bytes, second);
    must(driver, "cuStreamSynchronize", second);
    expect(read(target)[0]).toBe(1);
    expect(driver.cuEventQuery(end)).toBe(0);
    const milliseconds = new Float32Array(1);
    must(driver, "cuEventElapsedTime", milliseconds, begin, end);
    expect(milliseconds[0]).toBeGreaterThanOrEqual(0);
  });

  it("replay what they captured, as often as a graph is launched", () => {
    const stream = made(driver, "cuStreamCreate", 1);
    const address = allocate();
    clear(address);
    must(driver, "cuStreamBeginCapture_v2", stream, 1);
    start(address, stream);
    start(address, stream);
    const captured = new BigUint64Array(1);
    must(driver, "cuStreamEndCapture", stream, captured);
    const graph = captured[0]!;
    const executable = made(driver, "cuGraphInstantiateWithFlags", graph, 0n);
    must(driver, "cuGraphDestroy", graph);
    for (let i = 0; i < 3; i++) must(driver, "cuGraphLaunch", executable, stream);
    must(driver, "cuStreamSynchronize", stream);
    expect(read(address)[0]).toBe(6);
    must(driver, "cuGraphExecDestroy", executable);
    expect(driver.cuGraphLaunch(executable, stream)).toBe(invalidHandle);
  });

  it("cannot be waited for while they are captured", () => {
    const stream = made(driver, "cuStreamCreate", 1);
    must(driver, "cuStreamBeginCapture_v2", stream, 1);
    expect(driver.cuStreamSynchronize(stream)).toBe(captureUnsupported);
    expect(driver.cuStreamEndCapture(stream, new BigUint64Array(1))).toBe(captureInvalidated);
  });
});

describe.skipIf(missingCompiler !== undefined)("the emulated driver", () => {
  it("counts what the host has not given back", () => {
    const [address, host] = [allocate(), made(driver, "cuMemAllocHost_v2", 16)];
    const [stream, event] = [made(driver, "cuStreamCreate", 0), made(driver, "cuEventCreate", 0)];
    const [allocations, allocated, hosts, modules, streams, events] = driver.counts().map((n, i) => n - before[i]!);
    expect([allocations, allocated, hosts, modules, streams, events]).toEqual([1, bytes, 1, 1, 1, 1]);
    must(driver, "cuMemFree_v2", address);
    must(driver, "cuMemFreeHost", host);
    must(driver, "cuStreamDestroy_v2", stream);
    must(driver, "cuEventDestroy_v2", event);
    must(driver, "cuModuleUnload", module);
    expect(driver.counts()).toEqual(before);
  });

  it("keeps what it compiled until it was not used for a month", async () => {
    const text = `// ${randomUUID()}\n${emitCuda(increment)}`;
    const compiled = () => compileEmulated(new Map([["increment", text]]));
    const path = await compiled();
    const { ino, mtimeMs } = statSync(path);
    expect(await compiled()).toBe(path);
    expect(statSync(path).mtimeMs).toBe(mtimeMs);

    const monthAgo = new Date(Date.now() - 31 * 24 * 60 * 60 * 1000);
    utimesSync(path, monthAgo, monthAgo);
    expect(await compiled()).toBe(path);
    await compileEmulated(new Map([["increment", `// Newer.\n${text}`]]));
    expect(statSync(path).ino).toBe(ino);

    utimesSync(path, monthAgo, monthAgo);
    await compileEmulated(new Map([["increment", `// Newest.\n${text}`]]));
    expect(existsSync(path)).toBe(false);
  });

  it("says what is missing where there is no compiler", async () => {
    const usual = process.env["CXX"];
    process.env["CXX"] = "no-such-compiler";
    try {
      const compiled = compileEmulated(new Map([["increment", emitCuda(increment)]]));
      await expect(compiled).rejects.toThrow(NoAdapter);
      await expect(compiled).rejects.toThrow("needs a C++ compiler, and there is none: no-such-compiler");
    } finally {
      if (usual === undefined) delete process.env["CXX"];
      else process.env["CXX"] = usual;
    }
  });
});
