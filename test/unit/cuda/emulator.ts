/** Kernels on the emulated device, through the C interface of its driver. */
import { readFileSync } from "node:fs";
import koffi from "koffi";
import { emitCuda } from "../../../src/backends/cuda/module.js";
import type { BufferData } from "../../../src/interpret/kernel/run-kernel.js";
import { type Kernel, paramsSize } from "../../../src/ir/kernel/kernel.js";
import { NoAdapter } from "../../../src/runtime/errors.js";
import { compileEmulated, emulatedDriver } from "../../../src/runtime/node/emulated-cuda.js";
import { encodeParams } from "../wgsl/compare.js";

/** Why there is no emulated device here, where there is no C++ compiler. */
export const missingCompiler: string | undefined = await emulatedDriver().then(
  () => undefined,
  (error: unknown) => {
    if (error instanceof NoAdapter) return error.message;
    throw error;
  },
);
if (missingCompiler !== undefined) console.warn(`tests on the emulated CUDA device are skipped: ${missingCompiler}`);

/** Handles and addresses are integers; what a call fills is a typed array. */
const signatures = {
  cuInit: ["uint"],
  cuDevicePrimaryCtxRetain: ["void *", "int"],
  cuDevicePrimaryCtxRelease_v2: ["int"],
  cuDevicePrimaryCtxReset_v2: ["int"],
  cuCtxSetCurrent: ["uint64_t"],
  cuCtxSynchronize: [],
  cuModuleLoadData: ["void *", "void *"],
  cuModuleUnload: ["uint64_t"],
  cuModuleGetFunction: ["void *", "uint64_t", "const char *"],
  cuFuncGetAttribute: ["void *", "int", "uint64_t"],
  cuMemGetInfo_v2: ["void *", "void *"],
  cuMemAlloc_v2: ["void *", "size_t"],
  cuMemFree_v2: ["uint64_t"],
  cuMemAllocHost_v2: ["void *", "size_t"],
  cuMemFreeHost: ["uint64_t"],
  cuMemcpyHtoD_v2: ["uint64_t", "void *", "size_t"],
  cuMemcpyDtoH_v2: ["void *", "uint64_t", "size_t"],
  cuMemcpyDtoHAsync_v2: ["uint64_t", "uint64_t", "size_t", "uint64_t"],
  cuMemcpyDtoDAsync_v2: ["uint64_t", "uint64_t", "size_t", "uint64_t"],
  cuMemsetD8_v2: ["uint64_t", "uint8_t", "size_t"],
  cuMemsetD32Async: ["uint64_t", "uint32_t", "size_t", "uint64_t"],
  cuStreamCreate: ["void *", "uint"],
  cuStreamDestroy_v2: ["uint64_t"],
  cuStreamSynchronize: ["uint64_t"],
  cuStreamQuery: ["uint64_t"],
  cuStreamWaitEvent: ["uint64_t", "uint64_t", "uint"],
  cuStreamBeginCapture_v2: ["uint64_t", "int"],
  cuStreamEndCapture: ["uint64_t", "void *"],
  cuEventCreate: ["void *", "uint"],
  cuEventDestroy_v2: ["uint64_t"],
  cuEventRecord: ["uint64_t", "uint64_t"],
  cuEventQuery: ["uint64_t"],
  cuEventSynchronize: ["uint64_t"],
  cuEventElapsedTime: ["void *", "uint64_t", "uint64_t"],
  cuGraphInstantiateWithFlags: ["void *", "uint64_t", "uint64_t"],
  cuGraphLaunch: ["uint64_t", "uint64_t"],
  cuGraphDestroy: ["uint64_t"],
  cuGraphExecDestroy: ["uint64_t"],
  cuLaunchKernel: ["uint64_t", ...new Array<string>(7).fill("uint"), "uint64_t", "void *", "uint64_t"],
  cuGetErrorName: ["int", "void *"],
} as const;

export type DriverCall = keyof typeof signatures;
export type Driver = Record<DriverCall, (...args: unknown[]) => number> & {
  readonly report: () => string;
  /** As the struct Counts of emulated/driver.h has them. */
  readonly counts: () => readonly number[];
};

let opened: Promise<Driver> | undefined;

/** The driver, initialised, with its context current. */
export function openDriver(): Promise<Driver> {
  opened ??= load();
  return opened;
}

async function load(): Promise<Driver> {
  const library = koffi.load(await emulatedDriver());
  const functions = Object.fromEntries(
    Object.entries(signatures).map(([name, types]) => [name, library.func(name, "int", [...types])]),
  );
  const report = library.func("phdc_emulated_report", "size_t", ["void *", "size_t"]);
  const counts = library.func("phdc_emulated_counts", "void", ["void *"]);
  const driver = {
    ...functions,
    library,
    report: () => {
      const bytes = new Uint8Array(4096);
      const length = Number(report(bytes, bytes.length));
      return new TextDecoder().decode(bytes.subarray(0, length));
    },
    counts: () => {
      const values = new BigUint64Array(10);
      counts(values);
      return Array.from(values, Number);
    },
  } as unknown as Driver;
  must(driver, "cuInit", 0);
  const context = made(driver, "cuDevicePrimaryCtxRetain", 0);
  must(driver, "cuCtxSetCurrent", context);
  return driver;
}

/** Calls a function that must succeed. */
export function must(driver: Driver, name: DriverCall, ...args: unknown[]): void {
  const result = driver[name](...args);
  if (result !== 0) throw new Error(`${name} gave ${result}: ${driver.report()}`);
}

/** Calls a function whose first argument takes what it makes. */
export function made(driver: Driver, name: DriverCall, ...args: unknown[]): bigint {
  const value = new BigUint64Array(1);
  must(driver, name, value, ...args);
  return value[0]!;
}

/** A kernel ended its launch. */
export class EmulatedFault extends Error {
  constructor(
    readonly code: number,
    report: string,
  ) {
    super(report);
  }
}

export interface EmulatedRun {
  readonly buffers: Readonly<Record<string, BufferData>>;
  readonly params: Readonly<Record<string, number>>;
  readonly workgroups: readonly [x: number, y: number, z: number];
}

/** Kernels by name, compiled together. Texts that are given stand for what the printer writes. */
export async function emulatedKernels(kernels: readonly Kernel[], texts?: ReadonlyMap<string, string>) {
  const driver = await openDriver();
  const sources = new Map(kernels.map((kernel) => [kernel.name, texts?.get(kernel.name) ?? emitCuda(kernel)]));
  const image = new Uint8Array(readFileSync(await compileEmulated(sources)));
  const byName = new Map(kernels.map((kernel) => [kernel.name, kernel]));
  let module = made(driver, "cuModuleLoadData", image);
  return {
    /** Runs a kernel and leaves in the run's arrays what it wrote. Throws EmulatedFault. */
    run(name: string, run: EmulatedRun): void {
      const kernel = byName.get(name)!;
      const code = launch(driver, module, kernel, run);
      if (code === 0) return;
      const report = driver.report();
      // The context is beyond use, as on a device.
      must(driver, "cuDevicePrimaryCtxReset_v2", 0);
      module = made(driver, "cuModuleLoadData", image);
      throw new EmulatedFault(code, report);
    },
  };
}

function launch(driver: Driver, module: bigint, kernel: Kernel, run: EmulatedRun): number {
  const addresses = kernel.buffers.map(({ name }) => {
    const data = run.buffers[name]!;
    const address = made(driver, "cuMemAlloc_v2", Math.max(data.byteLength, 1));
    must(driver, "cuMemcpyHtoD_v2", address, data, data.byteLength);
    return address;
  });
  const code = launchOn(driver, module, kernel, addresses, run);
  if (code !== 0) return code;
  kernel.buffers.forEach(({ name }, i) => {
    const data = run.buffers[name]!;
    must(driver, "cuMemcpyDtoH_v2", data, addresses[i]!, data.byteLength);
    must(driver, "cuMemFree_v2", addresses[i]!);
  });
  return 0;
}

/** Launches a kernel on memory of the device and waits for it; gives the error code. */
export function launchOn(
  driver: Driver,
  module: bigint,
  kernel: Kernel,
  addresses: readonly bigint[],
  { params, workgroups }: Pick<EmulatedRun, "params" | "workgroups">,
): number {
  const code = startOn(driver, module, kernel, addresses, { params, workgroups }, 0n);
  return code === 0 ? driver.cuCtxSynchronize() : code;
}

/** Launches a kernel on a stream. */
export function startOn(
  driver: Driver,
  module: bigint,
  kernel: Kernel,
  addresses: readonly bigint[],
  { params, workgroups }: Pick<EmulatedRun, "params" | "workgroups">,
  stream: bigint,
): number {
  const handle = made(driver, "cuModuleGetFunction", module, kernel.name);
  // Pointers and the struct of the parameters, one after the other, and where each of them is.
  const values = koffi.alloc("uint8_t", 8 * addresses.length + Math.max(paramsSize(kernel), 8)) as bigint;
  const bytes = new Uint8Array(koffi.view(values, 8 * addresses.length + Math.max(paramsSize(kernel), 8)));
  new BigUint64Array(bytes.buffer, bytes.byteOffset, addresses.length).set(addresses);
  bytes.set(new Uint8Array(encodeParams(kernel, params)), 8 * addresses.length);
  const places = BigUint64Array.from({ length: addresses.length + 1 }, (_, i) => values + 8n * BigInt(i));
  const code = driver.cuLaunchKernel(handle, ...workgroups, kernel.workgroupSize, 1, 1, 0, stream, places, 0n);
  koffi.free(values);
  return code;
}
