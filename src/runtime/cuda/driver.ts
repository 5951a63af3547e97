/**
 * The functions of the CUDA driver API that the host calls, with the names and parameters that C gives them.
 *
 * Each returns its CUresult. Handles and addresses are bigints; what a function gives back goes into an array of one element. Host
 * memory is a typed array where the call is done with it when it returns, and an address where the device uses it later.
 *
 * `koffi-driver.ts` binds them to a library; tests put a driver of their own in their place.
 */
export interface DriverFunctions {
  cuInit(flags: number): number;
  cuDriverGetVersion(version: Int32Array): number;
  cuDeviceGetCount(count: Int32Array): number;
  cuDeviceGet(device: Int32Array, ordinal: number): number;
  cuDeviceGetName(name: Uint8Array, length: number, device: number): number;
  cuDeviceGetAttribute(value: Int32Array, attribute: number, device: number): number;
  cuDeviceTotalMem_v2(bytes: BigUint64Array, device: number): number;
  cuDevicePrimaryCtxRetain(context: BigUint64Array, device: number): number;
  cuDevicePrimaryCtxRelease_v2(device: number): number;
  cuCtxSetCurrent(context: bigint): number;

  /** The image is a cubin, a fat binary or PTX text that ends in a zero. `options` and `values` are arrays of `count` elements. */
  cuModuleLoadDataEx(
    module: BigUint64Array,
    image: Uint8Array,
    count: number,
    options: Int32Array,
    values: BigUint64Array,
  ): number;
  cuModuleUnload(module: bigint): number;
  cuModuleGetFunction(kernel: BigUint64Array, module: bigint, name: string): number;

  cuMemGetInfo_v2(free: BigUint64Array, total: BigUint64Array): number;
  cuMemAlloc_v2(address: BigUint64Array, bytes: number): number;
  cuMemFree_v2(address: bigint): number;
  /** Memory of the host that the device copies to by itself. */
  cuMemHostAlloc(address: BigUint64Array, bytes: number, flags: number): number;
  cuMemFreeHost(address: bigint): number;
  cuMemsetD8Async(address: bigint, value: number, bytes: number, stream: bigint): number;
  /** The source may change as soon as the call returns: memory that is not locked is copied aside first. */
  cuMemcpyHtoDAsync_v2(target: bigint, source: ArrayBufferView, bytes: number, stream: bigint): number;
  cuMemcpyDtoHAsync_v2(target: bigint, source: bigint, bytes: number, stream: bigint): number;
  cuMemcpyDtoDAsync_v2(target: bigint, source: bigint, bytes: number, stream: bigint): number;

  cuStreamCreate(stream: BigUint64Array, flags: number): number;
  cuStreamSynchronize(stream: bigint): number;
  cuStreamDestroy_v2(stream: bigint): number;
  cuEventCreate(event: BigUint64Array, flags: number): number;
  cuEventRecord(event: bigint, stream: bigint): number;
  cuEventQuery(event: bigint): number;
  cuEventDestroy_v2(event: bigint): number;

  /** `parameters` is the address of an array of addresses, one per argument. */
  cuLaunchKernel(
    kernel: bigint,
    gridX: number,
    gridY: number,
    gridZ: number,
    blockX: number,
    blockY: number,
    blockZ: number,
    sharedBytes: number,
    stream: bigint,
    parameters: bigint,
    extra: bigint,
  ): number;
  /** `config` is the address of a CUlaunchConfig. Drivers before CUDA 11.8 have no such function. */
  cuLaunchKernelEx(config: bigint, kernel: bigint, parameters: bigint, extra: bigint): number;
  cuStreamBeginCapture_v2(stream: bigint, mode: number): number;
  cuStreamEndCapture(stream: bigint, graph: BigUint64Array): number;
  cuGraphInstantiateWithFlags(executable: BigUint64Array, graph: bigint, flags: bigint): number;
  cuGraphLaunch(executable: bigint, stream: bigint): number;
  cuGraphExecDestroy(executable: bigint): number;
  cuGraphDestroy(graph: bigint): number;

  /** Give the address of a text that lives as long as the library. */
  cuGetErrorName(result: number, text: BigUint64Array): number;
  cuGetErrorString(result: number, text: BigUint64Array): number;
}

export type DriverFunction = keyof DriverFunctions;

/** Memory of the host by its address. */
export interface HostMemory {
  /** Memory that stays where it is until it is freed. */
  allocate(bytes: number): bigint;
  free(address: bigint): void;
  /** The bytes at an address, as they are; valid as long as the memory is. */
  view(address: bigint, bytes: number): Uint8Array<ArrayBuffer>;
  /** The text at an address, up to its zero. */
  text(address: bigint): string;
}

/** A driver library in the process. */
export interface DriverLibrary {
  /** As it was asked for: `libcuda.so.1`. */
  readonly path: string;
  readonly functions: DriverFunctions;
  readonly memory: HostMemory;
  /** What the library knows of the last fault beyond its result, or nothing. Only an emulated device knows more. */
  readonly faultReport?: () => string;
}

/** The results that the host tells apart; `cuda.h` numbers them. */
export const cuResult = {
  success: 0,
  invalidValue: 1,
  outOfMemory: 2,
  deinitialized: 4,
  stubLibrary: 34,
  deviceUnavailable: 46,
  noDevice: 100,
  invalidDevice: 101,
  invalidImage: 200,
  noBinaryForGpu: 209,
  eccUncorrectable: 214,
  invalidPtx: 218,
  unsupportedPtxVersion: 222,
  jitCompilerNotFound: 221,
  invalidSource: 300,
  notReady: 600,
  illegalAddress: 700,
  launchTimeout: 702,
  assertFailed: 710,
  hardwareStackError: 714,
  illegalInstruction: 715,
  misalignedAddress: 716,
  invalidAddressSpace: 717,
  invalidProgramCounter: 718,
  launchFailed: 719,
  notSupported: 801,
  systemDriverMismatch: 803,
} as const;

/** Device attributes, as `cuda.h` numbers them. */
export const attribute = {
  maxThreadsPerBlock: 1,
  maxSharedMemoryPerBlock: 8,
  warpSize: 10,
  multiprocessorCount: 16,
  computeCapabilityMajor: 75,
  computeCapabilityMinor: 76,
} as const;

/** A stream that does not wait for the default stream. */
export const streamNonBlocking = 1;
/** An event that takes no times. */
export const eventDisableTiming = 2;
/** Capture concerns the calls of this thread only. */
export const captureThreadLocal = 1;
/** Options of module loading: where the compiler of PTX writes what is wrong. */
export const jitErrorLogBuffer = 5;
export const jitErrorLogBufferBytes = 6;
