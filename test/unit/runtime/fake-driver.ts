/** A CUDA driver of the tests: it keeps memory, launches nothing, remembers every call, and fails where it is told to. */
import type { DriverFunction, DriverFunctions, DriverLibrary } from "../../../src/runtime/cuda/driver.js";

export interface Launched {
  readonly kernel: string;
  readonly grid: readonly [number, number, number];
  readonly threads: number;
  /** May begin before the one before it has ended. */
  readonly early: boolean;
  /** Addresses of the bindings, and the struct of parameters; read as the driver reads them. */
  readonly argumentsAt: (index: number, bytes: number) => Uint8Array;
}

const hostBytes = 1 << 20;
const hostBase = 0x10000n;
/** Device addresses are nowhere near those of the host. */
const deviceBase = 0x7f0000000000n;

const names: Readonly<Record<number, readonly [string, string]>> = {
  1: ["CUDA_ERROR_INVALID_VALUE", "invalid argument"],
  2: ["CUDA_ERROR_OUT_OF_MEMORY", "out of memory"],
  100: ["CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"],
  209: ["CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available for execution on the device"],
  222: ["CUDA_ERROR_UNSUPPORTED_PTX_VERSION", "the provided PTX was compiled with an unsupported toolchain."],
  719: ["CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"],
};

export class FakeDriver implements DriverLibrary {
  readonly path = "a driver of the tests";
  readonly functions: DriverFunctions;
  readonly calls: DriverFunction[] = [];
  readonly launches: Launched[] = [];
  /** Bytes copied to the host. */
  readBytes = 0;
  /** What modules were loaded from, as text. */
  readonly images: string[] = [];
  /** Gives the result of a call, where it is not to succeed. */
  refuse: (name: DriverFunction, args: readonly unknown[]) => number | undefined = () => undefined;
  /** Of the compute capability. */
  major = 8;
  /** How often an event is asked for before it is there. */
  looks = 1;

  readonly #host = new ArrayBuffer(hostBytes);
  #hostEnd = 16;
  readonly #hostLive = new Set<bigint>();
  readonly #device = new Map<bigint, Uint8Array>();
  #deviceEnd = deviceBase;
  readonly #handles = new Map<bigint, string>();
  #handle = 1n;
  readonly #events = new Map<bigint, number>();
  #capturing: Launched[] | undefined;
  readonly #graphs = new Map<bigint, readonly Launched[]>();

  readonly memory = {
    allocate: (bytes: number): bigint => {
      const address = hostBase + BigInt(this.#hostEnd);
      this.#hostEnd += Math.ceil(bytes / 16) * 16;
      this.#hostLive.add(address);
      return address;
    },
    free: (address: bigint): void => {
      if (!this.#hostLive.delete(address)) throw new Error("host memory was freed twice");
    },
    view: (address: bigint, bytes: number) => new Uint8Array(this.#host, Number(address - hostBase), bytes),
    text: (address: bigint): string => {
      const bytes = this.memory.view(address, 256);
      return new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)));
    },
  };

  constructor() {
    const behaviour = this.#behaviour();
    const entries = (Object.keys(behaviour) as DriverFunction[]).map((name) => [
      name,
      (...args: unknown[]) => {
        const silent = name === "cuGetErrorName" || name === "cuGetErrorString";
        if (!silent) this.calls.push(name);
        return this.refuse(name, args) ?? (behaviour[name] as (...all: unknown[]) => number)(...args);
      },
    ]);
    this.functions = Object.fromEntries(entries) as DriverFunctions;
  }

  count(name: DriverFunction): number {
    return this.calls.filter((call) => call === name).length;
  }

  /** What the host has not given back. */
  get live(): number {
    return this.#device.size + this.#hostLive.size + this.#handles.size;
  }

  #make(out: BigUint64Array, what: string): number {
    out[0] = this.#handle++;
    this.#handles.set(out[0]!, what);
    return 0;
  }

  #drop(handle: bigint): number {
    if (!this.#handles.delete(handle)) throw new Error(`handle ${handle} was given back twice`);
    return 0;
  }

  /** The device memory at an address that a copy or a kernel names. */
  deviceMemory(address: bigint): Uint8Array {
    for (const [base, bytes] of this.#device) {
      if (address >= base && address < base + BigInt(bytes.byteLength)) return bytes.subarray(Number(address - base));
    }
    throw new Error(`there is no device memory at ${address}`);
  }

  #say(result: number, part: 0 | 1, out: BigUint64Array): number {
    const text = names[result]?.[part];
    if (text === undefined) return 1;
    const bytes = new TextEncoder().encode(`${text}\0`);
    const address = hostBase + BigInt(hostBytes - 512 + part * 256);
    this.memory.view(address, bytes.byteLength).set(bytes);
    out[0] = address;
    return 0;
  }

  #behaviour(): DriverFunctions {
    const give = (out: Int32Array, value: number) => {
      out[0] = value;
      return 0;
    };
    return {
      cuInit: () => 0,
      cuDriverGetVersion: (out) => give(out, 12040),
      cuDeviceGetCount: (out) => give(out, 1),
      cuDeviceGet: (out, ordinal) => give(out, ordinal),
      cuDeviceGetName: (out) => {
        out.set(new TextEncoder().encode("Tester\0"));
        return 0;
      },
      cuDeviceGetAttribute: (out, attribute) =>
        give(out, { 1: 1024, 8: 49152, 10: 32, 16: 108, 75: this.major, 76: 0 }[attribute]!),
      cuDeviceTotalMem_v2: (out) => {
        out[0] = 1n << 30n;
        return 0;
      },
      cuDevicePrimaryCtxRetain: (out) => this.#make(out, "context"),
      cuDevicePrimaryCtxRelease_v2: () => {
        const [handle] = [...this.#handles].find(([, what]) => what === "context")!;
        return this.#drop(handle);
      },
      cuCtxSetCurrent: () => 0,
      cuModuleLoadDataEx: (out, image) => {
        this.images.push(new TextDecoder().decode(image).replaceAll("\0", ""));
        return this.#make(out, "module");
      },
      cuModuleUnload: (module) => this.#drop(module),
      cuModuleGetFunction: (out, _module, name) => {
        // Functions live as long as their module, so they are no handles to give back.
        this.#functions.push(name);
        out[0] = 0x1000n + BigInt(this.#functions.length - 1);
        return 0;
      },
      cuMemGetInfo_v2: (free, total) => {
        free[0] = 12345678n;
        total[0] = 1n << 30n;
        return 0;
      },
      cuMemAlloc_v2: (out, bytes) => {
        out[0] = this.#deviceEnd;
        // Whatever was there before.
        this.#device.set(this.#deviceEnd, new Uint8Array(bytes).fill(0xaa));
        this.#deviceEnd += BigInt(Math.ceil(bytes / 256) * 256);
        return 0;
      },
      cuMemFree_v2: (address) => {
        if (!this.#device.delete(address)) throw new Error("device memory was freed twice");
        return 0;
      },
      cuMemHostAlloc: (out, bytes) => {
        out[0] = this.memory.allocate(bytes);
        return 0;
      },
      cuMemFreeHost: (address) => {
        this.memory.free(address);
        return 0;
      },
      cuMemsetD8Async: (address, value, bytes) => {
        this.deviceMemory(address).fill(value, 0, bytes);
        return 0;
      },
      cuMemcpyHtoDAsync_v2: (target, source, bytes) => {
        const from = new Uint8Array(source.buffer, source.byteOffset, bytes);
        this.deviceMemory(target).set(from);
        return 0;
      },
      cuMemcpyDtoHAsync_v2: (target, source, bytes) => {
        this.readBytes += bytes;
        this.memory.view(target, bytes).set(this.deviceMemory(source).subarray(0, bytes));
        return 0;
      },
      cuMemcpyDtoDAsync_v2: (target, source, bytes) => {
        this.deviceMemory(target).set(this.deviceMemory(source).subarray(0, bytes));
        return 0;
      },
      cuStreamCreate: (out) => this.#make(out, "stream"),
      cuStreamSynchronize: () => 0,
      cuStreamDestroy_v2: (stream) => this.#drop(stream),
      cuEventCreate: (out) => this.#make(out, "event"),
      cuEventRecord: (event) => {
        this.#events.set(event, this.looks);
        return 0;
      },
      cuEventQuery: (event) => {
        const left = this.#events.get(event) ?? 0;
        this.#events.set(event, left - 1);
        return left > 0 ? 600 : 0;
      },
      cuEventDestroy_v2: (event) => this.#drop(event),
      cuLaunchKernel: (kernel, x, y, z, blockX, blockY, blockZ, _shared, _stream, parameters) => {
        const launched: Launched = {
          kernel: this.#functions[Number(kernel - 0x1000n)]!,
          grid: [x, y, z],
          threads: blockX * blockY * blockZ,
          early: false,
          argumentsAt: this.#copyArguments(parameters),
        };
        (this.#capturing ?? this.launches).push(launched);
        return 0;
      },
      cuLaunchKernelEx: (config, kernel, parameters) => {
        const bytes = this.memory.view(config, 128);
        const read = new DataView(bytes.buffer, bytes.byteOffset);
        const [x, y, z, blockX, blockY, blockZ] = [0, 4, 8, 12, 16, 20].map((at) => read.getUint32(at, true));
        const attributes = this.memory.view(read.getBigUint64(40, true), 72 * read.getUint32(48, true));
        const attribute = new DataView(attributes.buffer, attributes.byteOffset);
        const launched: Launched = {
          kernel: this.#functions[Number(kernel - 0x1000n)]!,
          grid: [x!, y!, z!],
          threads: blockX! * blockY! * blockZ!,
          early: attribute.getInt32(0, true) === 6 && attribute.getInt32(8, true) === 1,
          argumentsAt: this.#copyArguments(parameters),
        };
        (this.#capturing ?? this.launches).push(launched);
        return 0;
      },
      cuStreamBeginCapture_v2: () => {
        this.#capturing = [];
        return 0;
      },
      cuStreamEndCapture: (_stream, out) => {
        const launches = this.#capturing ?? [];
        this.#capturing = undefined;
        this.#make(out, "graph");
        this.#graphs.set(out[0]!, launches);
        return 0;
      },
      cuGraphInstantiateWithFlags: (out, graph) => {
        this.#make(out, "executable graph");
        this.#graphs.set(out[0]!, this.#graphs.get(graph)!);
        return 0;
      },
      cuGraphLaunch: (executable) => {
        this.launches.push(...this.#graphs.get(executable)!);
        return 0;
      },
      cuGraphExecDestroy: (executable) => this.#drop(executable),
      cuGraphDestroy: (graph) => this.#drop(graph),
      cuGetErrorName: (result, out) => this.#say(result, 0, out),
      cuGetErrorString: (result, out) => this.#say(result, 1, out),
    };
  }

  readonly #functions: string[] = [];

  /** As a driver does it, arguments are copied when the launch is made; their sizes are known to the kernel alone, so all is kept. */
  #copyArguments(parameters: bigint): Launched["argumentsAt"] {
    const host = new Uint8Array(this.#host.slice(0));
    const at = (address: bigint) => Number(address - hostBase);
    const read = new DataView(host.buffer);
    return (index, bytes) => {
      const address = read.getBigUint64(at(parameters) + index * 8, true);
      return host.slice(at(address), at(address) + bytes);
    };
  }
}
