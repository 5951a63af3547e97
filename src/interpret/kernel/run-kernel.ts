/**
 * Runs kernels on the CPU, for tests: every invocation of a workgroup in lockstep, with the roundings of the device.
 *
 * Whatever a device would let pass in silence is an error here: an index out of bounds, a barrier that part of the workgroup does
 * not reach, loop bounds that differ where invocations meet, an integer divided by zero, and, on request, data races.
 * Workgroup memory starts as NaN, so that a kernel that reads before it writes shows.
 */
import { bfloatToBits, halfToBits, roundToBfloat, roundToHalf } from "../../ir/kernel/half.js";
import type { BufferDeclaration, Kernel } from "../../ir/kernel/kernel.js";
import { type ScalarType, scalarOf, widthOf } from "../../ir/kernel/types.js";
import type { AccessCounts } from "./access-counts.js";
import { compileKernel } from "./compile-kernel.js";
import { lockstep } from "./lockstep.js";
import { matrixUnit, PendingCopies } from "./matrix.js";
import { bfloatTable, floatBits, floatOfBits, floatToI32, floatToU32, halfTable } from "./numbers.js";
import { RaceTracker } from "./races.js";

export { AccessCounts, type BufferAccess } from "./access-counts.js";

/** f32, i32 and u32 buffers as their typed arrays; f16 and bf16 as the bits in a `Uint16Array`. */
export type BufferData = Float32Array | Int32Array | Uint32Array | Uint16Array;

export interface KernelRun {
  /** By name; kernels write into read_write ones. */
  readonly buffers: Readonly<Record<string, BufferData>>;
  readonly params: Readonly<Record<string, number>>;
  readonly workgroups: readonly [x: number, y: number, z: number];
  /** A power of two; 32 unless given. */
  readonly subgroupSize?: number;
  /** Adds what the kernel loads and stores. */
  readonly count?: AccessCounts;
  /** Reports races on workgroup memory and on read_write buffers. */
  readonly detectRaces?: boolean;
}

/** A kernel did something that no device promises to survive. */
export class KernelFault extends Error {
  override readonly name = "KernelFault";
}

export function runKernel(kernel: Kernel, run: KernelRun): void {
  const instance = instantiate(kernel, run);
  const [nx, ny, nz] = run.workgroups;
  for (let z = 0; z < nz; z++) {
    for (let y = 0; y < ny; y++) {
      for (let x = 0; x < nx; x++) instance(x, y, z);
    }
  }
}

type RunWorkgroup = (x: number, y: number, z: number) => void;
type Factory = (runtime: object) => RunWorkgroup;

/** Generated code by kernel, one entry for each set of options. */
const factories = new WeakMap<Kernel, Map<string, Factory>>();

function factoryOf(kernel: Kernel, counting: boolean, detectRaces: boolean): Factory {
  const known = factories.get(kernel) ?? new Map<string, Factory>();
  factories.set(kernel, known);
  const key = `${counting} ${detectRaces}`;
  const factory = known.get(key) ?? (new Function("rt", compileKernel(kernel, { counting, detectRaces })) as Factory);
  known.set(key, factory);
  return factory;
}

function instantiate(kernel: Kernel, run: KernelRun): RunWorkgroup {
  const fail = (message: string): never => {
    throw new KernelFault(`${kernel.name}: ${message}`);
  };
  const { subgroupSize = 32, count, detectRaces = false } = run;
  const buffers = bindBuffers(kernel, run, fail);
  const races = new Map<string, RaceTracker>();
  if (detectRaces) {
    for (const [name, { elements }] of Object.entries(buffers)) {
      races.set(name, new RaceTracker(name, elements, fail, kernel.workgroupSize));
    }
    for (const { name, length } of kernel.arrays) races.set(name, new RaceTracker(name, length, fail));
  }
  const passBarrier = (ordersBuffers: boolean) => {
    for (const { name } of [...kernel.arrays, ...(ordersBuffers ? kernel.buffers : [])]) {
      const tracker = races.get(name);
      if (tracker !== undefined) tracker.epoch++;
    }
  };
  const copies = new PendingCopies(kernel.workgroupSize);
  const [nx, ny, nz] = run.workgroups;
  const runtime = {
    ...arithmetic(fail),
    ...lockstep(kernel.workgroupSize, subgroupSize, passBarrier, fail),
    ...matrixUnit(kernel.workgroupSize, subgroupSize, fail),
    copies,
    N: kernel.workgroupSize,
    S: subgroupSize,
    ...{ nx, ny, nz },
    params: bindParams(kernel, run, fail),
    buffers,
    counts: Object.fromEntries(
      Object.entries(buffers).map(([name, { elements }]) => [name, count?.open(name, elements)]),
    ),
    races: Object.fromEntries(races),
    fail,
    outOfBounds: (name: string, index: number, length: number, x: number, y: number, z: number, t: number) =>
      fail(`${name}[${index}] is outside its ${length} elements (workgroup ${x}, ${y}, ${z}, invocation ${t})`),
  };
  const runWorkgroup = factoryOf(kernel, count !== undefined, detectRaces)(runtime);
  return (x, y, z) => {
    passBarrier(false);
    copies.drop();
    runWorkgroup(x, y, z);
  };
}

interface BoundBuffer {
  readonly data: BufferData;
  /** Elements of the declared type. */
  readonly elements: number;
}

function bindBuffers(kernel: Kernel, { buffers }: KernelRun, fail: (message: string) => never) {
  const bound: Record<string, BoundBuffer> = {};
  for (const declaration of kernel.buffers) {
    const data = buffers[declaration.name];
    if (data === undefined) return fail(`no buffer is given for ${declaration.name}`);
    if (!(data instanceof storageOf(declaration))) {
      return fail(`${declaration.name} holds ${declaration.type}, which is no ${data.constructor.name}`);
    }
    bound[declaration.name] = { data, elements: Math.floor(data.length / widthOf(declaration.type)) };
  }
  for (const name of Object.keys(buffers)) {
    if (bound[name] === undefined) fail(`there is no buffer named ${name}`);
  }
  return bound;
}

function storageOf({ type }: BufferDeclaration) {
  const scalar: ScalarType = scalarOf(type);
  return scalar === "f32" ? Float32Array : scalar === "i32" ? Int32Array : scalar === "u32" ? Uint32Array : Uint16Array;
}

function bindParams(kernel: Kernel, { params }: KernelRun, fail: (message: string) => never) {
  const bound: Record<string, number> = {};
  for (const { name, type } of kernel.params) {
    const value = params[name];
    if (value === undefined) return fail(`no value is given for the param ${name}`);
    const stored = type === "f32" ? Math.fround(value) : type === "i32" ? value | 0 : value >>> 0;
    if (type !== "f32" && stored !== value) fail(`the param ${name} is ${type}, and ${value} does not fit`);
    bound[name] = stored;
  }
  for (const name of Object.keys(params)) if (bound[name] === undefined) fail(`there is no param named ${name}`);
  return bound;
}

function arithmetic(fail: (message: string) => never) {
  return {
    fround: Math.fround,
    half: roundToHalf,
    bfloat: roundToBfloat,
    ...{ halfToBits, bfloatToBits, floatToI32, floatToU32, floatBits, floatOfBits },
    halves: halfTable(),
    bfloats: bfloatTable(),
    divisor: (value: number) => (value === 0 ? fail("an integer is divided by zero") : value),
  };
}
