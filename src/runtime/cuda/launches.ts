/**
 * Calls as launches: the functions, the grids, and the arguments where the driver finds them.
 *
 * A kernel takes one pointer per binding and then, if it has parameters, its struct by value. The driver is given an array of
 * addresses, one per argument; arrays and arguments of all launches stand in one piece of memory.
 */
import type { BoundCall } from "../compute-device.js";
import { MissingFeature } from "../errors.js";
import type { CheckedDriver } from "./checked-driver.js";
import { launchConfigBytes, writeLaunchConfig } from "./launch-config.js";
import type { CudaBuffer } from "./memory.js";
import type { LoadedKernel } from "./modules.js";

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
  /** Of the record of a launch that may begin early. */
  readonly config: bigint | undefined;
}

export class Launches {
  readonly #driver: CheckedDriver;
  readonly #stream: bigint;
  readonly #memory: bigint;
  readonly #launches: readonly Launch[];

  constructor(
    driver: CheckedDriver,
    stream: bigint,
    calls: readonly BoundCall[],
    kernelOf: (name: string) => LoadedKernel,
  ) {
    this.#driver = driver;
    this.#stream = stream;
    for (const call of calls) assertGridFits(call);
    const total = calls.reduce((sum, call) => sum + argumentBytes(call) + launchConfigBytes, 0);
    this.#memory = driver.memory.allocate(Math.max(total, pointerBytes));
    driver.resources.created("argument memory");
    const bytes = driver.memory.view(this.#memory, Math.max(total, pointerBytes));
    let at = 0;
    this.#launches = calls.map((call) => {
      const { handle, beginsEarly } = kernelOf(call.kernel);
      const parameters = this.#memory + BigInt(at);
      writeArguments(new DataView(bytes.buffer, bytes.byteOffset + at), parameters, call);
      at += argumentBytes(call);
      const config = this.#memory + BigInt(at);
      if (beginsEarly) writeLaunchConfig(new DataView(bytes.buffer, bytes.byteOffset + at), config, call, stream);
      at += launchConfigBytes;
      return { call, kernel: handle, parameters, config: beginsEarly ? config : undefined };
    });
  }

  /** Launches the calls [from, to). */
  run(from = 0, to = this.#launches.length): void {
    for (const { call, kernel, parameters, config } of this.#launches.slice(from, to)) {
      const { workgroups, info, step } = call;
      const what = `${step} (${info.name})`;
      if (config !== undefined) {
        this.#driver.call(what, "cuLaunchKernelEx", config, kernel, parameters, 0n);
        continue;
      }
      this.#driver.call(
        what,
        "cuLaunchKernel",
        kernel,
        ...workgroups,
        ...info.workgroupSize,
        0,
        this.#stream,
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
