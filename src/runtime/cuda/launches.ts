/**
 * Calls as launches: the functions, the grids, and the arguments where the driver finds them.
 *
 * A kernel takes one pointer per binding and then, if it has parameters, its struct by value. The driver is given an array of
 * addresses, one per argument; arrays and arguments of all launches stand in one piece of memory.
 */
import type { BoundCall } from "../compute-device.js";
import { MissingFeature } from "../errors.js";
import type { CheckedDriver } from "./checked-driver.js";
import type { CudaBuffer } from "./memory.js";

/** Blocks along x, y and z, the same for every device since compute capability 3.0. */
const mostBlocks = [2 ** 31 - 1, 65535, 65535] as const;

const pointerBytes = 8;
/** Structs of parameters have fields of four bytes; eight keeps what follows aligned. */
const align = (bytes: number) => Math.ceil(bytes / pointerBytes) * pointerBytes;

interface Launch {
  readonly call: BoundCall;
  readonly kernel: bigint;
  /** Of the array of the arguments' addresses. */
  readonly parameters: bigint;
}

export class Launches {
  readonly #driver: CheckedDriver;
  readonly #memory: bigint;
  readonly #launches: readonly Launch[];

  constructor(driver: CheckedDriver, calls: readonly BoundCall[], kernelOf: (name: string) => bigint) {
    this.#driver = driver;
    for (const call of calls) assertGridFits(call);
    const total = calls.reduce((sum, call) => sum + argumentBytes(call), 0);
    this.#memory = driver.memory.allocate(Math.max(total, pointerBytes));
    driver.resources.created("argument memory");
    const bytes = driver.memory.view(this.#memory, Math.max(total, pointerBytes));
    let at = 0;
    this.#launches = calls.map((call) => {
      const launch = { call, kernel: kernelOf(call.kernel), parameters: this.#memory + BigInt(at) };
      writeArguments(new DataView(bytes.buffer, bytes.byteOffset + at), launch.parameters, call);
      at += argumentBytes(call);
      return launch;
    });
  }

  /** Launches the calls [from, to) on a stream. */
  run(stream: bigint, from = 0, to = this.#launches.length): void {
    for (const { call, kernel, parameters } of this.#launches.slice(from, to)) {
      const { workgroups, info, step } = call;
      this.#driver.call(
        `${step} (${info.name})`,
        "cuLaunchKernel",
        kernel,
        ...workgroups,
        ...info.workgroupSize,
        0,
        stream,
        parameters,
        0n,
      );
    }
  }

  destroy(): void {
    this.#driver.memory.free(this.#memory);
    this.#driver.resources.released("argument memory");
  }
}

const argumentCount = ({ buffers, block }: BoundCall) => buffers.length + (block.byteLength > 0 ? 1 : 0);

/** The addresses, the pointers, the struct. */
function argumentBytes(call: BoundCall): number {
  return (argumentCount(call) + call.buffers.length) * pointerBytes + align(call.block.byteLength);
}

function writeArguments(memory: DataView, address: bigint, call: BoundCall): void {
  const count = argumentCount(call);
  for (let index = 0; index < count; index++) {
    memory.setBigUint64(index * pointerBytes, address + BigInt((count + index) * pointerBytes), true);
  }
  for (const [index, { buffer }] of call.buffers.entries()) {
    memory.setBigUint64((count + index) * pointerBytes, (buffer as CudaBuffer).address, true);
  }
  const struct = new Uint8Array(memory.buffer, memory.byteOffset + (count + call.buffers.length) * pointerBytes);
  struct.set(call.block);
}

function assertGridFits({ step, workgroups }: BoundCall): void {
  if (workgroups.every((count, axis) => count <= mostBlocks[axis]!)) return;
  throw new MissingFeature(
    `the step ${step} needs ${workgroups.join(" × ")} blocks and a device allows ${mostBlocks.join(" × ")}`,
    { details: { step, workgroups }, hint: "Open the session with a smaller slice or batch." },
  );
}
