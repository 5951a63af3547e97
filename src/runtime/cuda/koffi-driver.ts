/**
 * The CUDA driver library in this process, through koffi.
 */
import koffi, { type LibraryHandle } from "koffi";
import { NoAdapter } from "../errors.js";
import { cuResult, type DriverFunction, type DriverFunctions, type DriverLibrary, type HostMemory } from "./driver.js";

/** Where the driver is on this platform when nobody says otherwise. */
export const usualDriver =
  (globalThis as { readonly process?: { readonly platform: string } }).process?.platform === "win32"
    ? "nvcuda.dll"
    : "libcuda.so.1";

/** Handles and addresses are passed as integers of 64 bits, host memory that a call fills or reads as pointers. */
const signatures: Readonly<Record<DriverFunction, readonly string[]>> = {
  cuInit: ["uint"],
  cuDriverGetVersion: ["void *"],
  cuDeviceGetCount: ["void *"],
  cuDeviceGet: ["void *", "int"],
  cuDeviceGetName: ["void *", "int", "int"],
  cuDeviceGetAttribute: ["void *", "int", "int"],
  cuDeviceTotalMem_v2: ["void *", "int"],
  cuDevicePrimaryCtxRetain: ["void *", "int"],
  cuDevicePrimaryCtxRelease_v2: ["int"],
  cuCtxSetCurrent: ["uint64_t"],
  cuModuleLoadDataEx: ["void *", "void *", "uint", "void *", "void *"],
  cuModuleUnload: ["uint64_t"],
  cuModuleGetFunction: ["void *", "uint64_t", "const char *"],
  cuMemGetInfo_v2: ["void *", "void *"],
  cuMemAlloc_v2: ["void *", "size_t"],
  cuMemFree_v2: ["uint64_t"],
  cuMemHostAlloc: ["void *", "size_t", "uint"],
  cuMemFreeHost: ["uint64_t"],
  cuMemsetD8Async: ["uint64_t", "uint8_t", "size_t", "uint64_t"],
  cuMemcpyHtoDAsync_v2: ["uint64_t", "void *", "size_t", "uint64_t"],
  cuMemcpyDtoHAsync_v2: ["uint64_t", "uint64_t", "size_t", "uint64_t"],
  cuMemcpyDtoDAsync_v2: ["uint64_t", "uint64_t", "size_t", "uint64_t"],
  cuStreamCreate: ["void *", "uint"],
  cuStreamSynchronize: ["uint64_t"],
  cuStreamDestroy_v2: ["uint64_t"],
  cuEventCreate: ["void *", "uint"],
  cuEventRecord: ["uint64_t", "uint64_t"],
  cuEventQuery: ["uint64_t"],
  cuEventDestroy_v2: ["uint64_t"],
  cuLaunchKernel: ["uint64_t", ...new Array<string>(7).fill("uint"), "uint64_t", "uint64_t", "uint64_t"],
  cuLaunchKernelEx: ["uint64_t", "uint64_t", "uint64_t", "uint64_t"],
  cuStreamBeginCapture_v2: ["uint64_t", "int"],
  cuStreamEndCapture: ["uint64_t", "void *"],
  cuGraphInstantiateWithFlags: ["void *", "uint64_t", "uint64_t"],
  cuGraphLaunch: ["uint64_t", "uint64_t"],
  cuGraphExecDestroy: ["uint64_t"],
  cuGraphDestroy: ["uint64_t"],
  cuGetErrorName: ["int", "void *"],
  cuGetErrorString: ["int", "void *"],
};

/** Libraries stay loaded: koffi unloads one whose handle is collected, and drivers do not like to be loaded twice. */
const loaded = new Map<string, DriverLibrary>();

/**
 * Loads a driver library. Throws NoAdapter when it is not there or is too old to have a function that is needed.
 *
 * `reportFunction` names a function, beyond the driver's interface, that writes the report of the last fault:
 * `size_t f(char *text, size_t size)`.
 */
export function loadDriver(path: string = usualDriver, reportFunction?: string): DriverLibrary {
  let library = loaded.get(path);
  if (library === undefined) {
    library = bind(path, reportFunction);
    loaded.set(path, library);
  }
  return library;
}

function bind(path: string, reportFunction: string | undefined): DriverLibrary {
  try {
    const handle = koffi.load(path);
    const names = Object.keys(signatures) as DriverFunction[];
    const functions = Object.fromEntries(
      names.map((name) => [name, bindFunction(handle, name)]),
    ) as unknown as DriverFunctions;
    handles.push(handle);
    const faultReport = reportFunction === undefined ? undefined : bindReport(handle, reportFunction);
    return { path, functions, memory: processMemory, ...(faultReport && { faultReport }) };
  } catch (cause) {
    throw new NoAdapter(`no CUDA driver: ${path}: ${(cause as Error).message}`, {
      details: { library: path },
      hint: "CUDA needs NVIDIA's driver, version 450 or newer. `phdc doctor` shows what was found.",
      cause,
    });
  }
}

/** Functions that older drivers lack; whoever calls them anyway is told that they are not supported. */
const newer: ReadonlySet<DriverFunction> = new Set(["cuLaunchKernelEx"]);

function bindFunction(handle: LibraryHandle, name: DriverFunction) {
  try {
    return handle.func(name, "int", [...signatures[name]]);
  } catch (error) {
    if (newer.has(name)) return () => cuResult.notSupported;
    throw error;
  }
}

const handles: unknown[] = [];

const longestReport = 16384;

function bindReport(handle: LibraryHandle, name: string): () => string {
  const read = handle.func(name, "size_t", ["void *", "size_t"]);
  return () => {
    const text = new Uint8Array(longestReport);
    read(text, text.byteLength);
    return new TextDecoder().decode(text.subarray(0, text.indexOf(0))).trim();
  };
}

/** Host memory of this process. */
export const processMemory: HostMemory = {
  allocate: (bytes) => koffi.alloc("uint8_t", bytes) as bigint,
  free: (address) => koffi.free(address),
  view: (address, bytes) => new Uint8Array(koffi.view(address, bytes)),
  text: (address) => (address === 0n ? "" : koffi.decode.string(address)),
};
