/**
 * A driver whose every result is looked at: what it refuses becomes a typed error with the call's name, the result's name and what it means.
 */
import { DeviceError, DeviceLost, NoAdapter, OutOfMemory, type PhdcError } from "../errors.js";
import { cuResult, type DriverFunction, type DriverFunctions, type DriverLibrary, type HostMemory } from "./driver.js";
import { Resources } from "./resources.js";

/** After these a context computes nothing any more. */
const fatal: ReadonlySet<number> = new Set([
  cuResult.deinitialized,
  cuResult.eccUncorrectable,
  cuResult.illegalAddress,
  cuResult.launchTimeout,
  cuResult.assertFailed,
  cuResult.hardwareStackError,
  cuResult.illegalInstruction,
  cuResult.misalignedAddress,
  cuResult.invalidAddressSpace,
  cuResult.invalidProgramCounter,
  cuResult.launchFailed,
]);

/** With these there is nothing to compute on. */
const absent: ReadonlySet<number> = new Set([
  cuResult.stubLibrary,
  cuResult.deviceUnavailable,
  cuResult.noDevice,
  cuResult.invalidDevice,
  cuResult.systemDriverMismatch,
]);

const absentHint = "`nvidia-smi` lists the GPUs that the driver sees; a container sees those that it was started with.";

type Arguments<Name extends DriverFunction> = Parameters<DriverFunctions[Name]>;

/** Functions whose first argument takes the handle or the address that they give. */
type Creating = {
  [Name in DriverFunction]: Arguments<Name> extends [BigUint64Array, ...infer _] ? Name : never;
}[DriverFunction];

type AfterFirst<List extends readonly unknown[]> = List extends readonly [unknown, ...infer Rest] ? Rest : never;

/** The context that a library's calls concern now; several devices may share a library. */
const current = new WeakMap<DriverLibrary, bigint>();

export class CheckedDriver {
  readonly library: DriverLibrary;
  /** What is allocated and not yet released. */
  readonly resources = new Resources();
  #failure: PhdcError | undefined;
  #context: bigint | undefined;

  constructor(library: DriverLibrary) {
    this.library = library;
  }

  get memory(): HostMemory {
    return this.library.memory;
  }

  /** From now on, calls concern this context. */
  use(context: bigint): void {
    this.#context = context;
  }

  /** Throws the error after which the context computes nothing any more, if there was one. */
  assertAlive(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Calls a function of the driver; `what` names in the message what it was called for. */
  call<Name extends DriverFunction>(what: string, name: Name, ...args: Arguments<Name>): void {
    const result = this.result(name, ...args);
    if (result !== cuResult.success) throw this.error(what, name, result);
  }

  /** Calls a function that gives a handle or an address. */
  create<Name extends Creating>(what: string, name: Name, ...args: AfterFirst<Arguments<Name>>): bigint {
    const created = new BigUint64Array(1);
    this.call(what, name, ...([created, ...args] as unknown as Arguments<Name>));
    return created[0]!;
  }

  /** Calls a function that gives a number. */
  number<Name extends "cuDriverGetVersion" | "cuDeviceGetCount" | "cuDeviceGet" | "cuDeviceGetAttribute">(
    what: string,
    name: Name,
    ...args: AfterFirst<Arguments<Name>>
  ): number {
    const value = new Int32Array(1);
    this.call(what, name, ...([value, ...args] as unknown as Arguments<Name>));
    return value[0]!;
  }

  /** Releases something. A context that is lost has released it already. */
  release<Name extends DriverFunction>(what: string, name: Name, ...args: Arguments<Name>): void {
    const result = this.result(name, ...args);
    if (result !== cuResult.success && this.#failure === undefined) throw this.error(what, name, result);
  }

  /** The bare result, for calls whose failure is no error. */
  result<Name extends DriverFunction>(name: Name, ...args: Arguments<Name>): number {
    this.#enter();
    const call = this.library.functions[name] as (...all: Arguments<Name>) => number;
    return call(...args);
  }

  #enter(): void {
    if (this.#context === undefined || current.get(this.library) === this.#context) return;
    current.set(this.library, this.#context);
    // If this fails, so does the call that it is for.
    this.library.functions.cuCtxSetCurrent(this.#context);
  }

  /** The error that a result stands for; a fatal one is kept and ends everything on this driver. */
  error(what: string, name: DriverFunction, result: number): PhdcError {
    const resultName = this.#text("cuGetErrorName", result) || `CUresult ${result}`;
    const meaning = this.#text("cuGetErrorString", result) || "the driver does not say what it means";
    const report = this.library.faultReport?.() ?? "";
    const message = `${what}: ${name} gave ${resultName}: ${meaning}${report === "" ? "" : `\n${report}`}`;
    const details = { call: name, result: resultName, code: result };
    if (result === cuResult.outOfMemory) {
      return new OutOfMemory(message, { details: { ...details, ...this.#figures() } });
    }
    if (absent.has(result)) return new NoAdapter(message, { details, hint: absentHint });
    if (!fatal.has(result)) return new DeviceError(message, { details });
    const lost = new DeviceLost(message, { details, hint: "Open a new device, in a new process if need be." });
    this.#failure ??= lost;
    return lost;
  }

  /** Bytes of device memory, where the driver tells. */
  memoryInfo(): { readonly free: number; readonly total: number } | undefined {
    const free = new BigUint64Array(1);
    const total = new BigUint64Array(1);
    if (this.result("cuMemGetInfo_v2", free, total) !== cuResult.success) return undefined;
    return { free: Number(free[0]), total: Number(total[0]) };
  }

  #figures(): Record<string, number> {
    const info = this.memoryInfo();
    return info === undefined ? {} : { free: info.free, total: info.total };
  }

  #text(name: "cuGetErrorName" | "cuGetErrorString", result: number): string {
    const address = new BigUint64Array(1);
    // An unknown code leaves the address zero.
    this.result(name, result, address);
    return address[0] === 0n ? "" : this.memory.text(address[0]!);
  }
}
