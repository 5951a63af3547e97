/**
 * Runs a session's programs on a CUDA device. What is submitted many times and as a whole, a decode step with its sampling, becomes a
 * graph; everything else is launched call by call.
 */
import type { BoundCall, Command, ProgramSlot, Recording, Runner, Submission } from "../compute-device.js";
import type { CheckedDriver } from "./checked-driver.js";
import { LaunchGraph } from "./graph.js";
import { Launches } from "./launches.js";
import type { CudaBuffer } from "./memory.js";
import type { CudaKernels } from "./modules.js";
import { CudaReadback } from "./readback.js";

class CudaRecording implements Recording {
  readonly calls: readonly BoundCall[];
  readonly launches: Launches;
  readonly replayed: boolean;

  constructor(calls: readonly BoundCall[], launches: Launches, replayed: boolean) {
    this.calls = calls;
    this.launches = launches;
    this.replayed = replayed;
  }
}

/** A graph of several recordings, one after the other. */
interface GraphOfRecordings {
  readonly recordings: readonly CudaRecording[];
  readonly graph: LaunchGraph;
}

export class CudaRunner implements Runner {
  readonly #driver: CheckedDriver;
  readonly #stream: bigint;
  readonly #kernels: CudaKernels;
  readonly #readback: CudaReadback;
  readonly #recordings = new Map<ProgramSlot, CudaRecording>();
  #graphs: GraphOfRecordings[] = [];

  constructor(driver: CheckedDriver, stream: bigint, kernels: CudaKernels) {
    this.#driver = driver;
    this.#stream = stream;
    this.#kernels = kernels;
    this.#readback = new CudaReadback(driver, stream);
  }

  async record(slot: ProgramSlot, calls: readonly BoundCall[], replayed: boolean): Promise<Recording> {
    await this.#kernels.prepare(calls.map(({ kernel }) => kernel));
    const launches = new Launches(this.#driver, this.#stream, calls, (name) => this.#kernels.kernelOf(name));
    const recording = new CudaRecording(calls, launches, replayed);
    this.#forget(this.#recordings.get(slot));
    this.#recordings.set(slot, recording);
    return recording;
  }

  async submit({ what, commands, reads, validate }: Submission): Promise<() => Promise<ArrayBuffer>> {
    this.#driver.assertAlive();
    const whole = wholeRecordings(commands);
    if (whole === undefined) this.#launch(commands);
    else this.#graphOf(whole).run(what, this.#stream);
    if (validate) this.#driver.call(what, "cuStreamSynchronize", this.#stream);
    return this.#readback.start(reads);
  }

  /** Waits for what is under way. */
  destroy(): void {
    this.#driver.release("a session", "cuStreamSynchronize", this.#stream);
    for (const recording of this.#recordings.values()) this.#forget(recording);
    this.#recordings.clear();
    this.#readback.destroy();
  }

  #launch(commands: readonly Command[]): void {
    for (const command of commands) {
      if (command.kind === "run") {
        asOwn(command.recording).launches.run(command.from, command.to);
        continue;
      }
      const { source, target, offset, bytes } = command;
      const { address, name } = target as CudaBuffer;
      this.#driver.call(
        `copying to ${name}`,
        "cuMemcpyDtoDAsync_v2",
        address + BigInt(offset),
        (source as CudaBuffer).address,
        bytes,
        this.#stream,
      );
    }
  }

  #graphOf(recordings: readonly CudaRecording[]): LaunchGraph {
    const known = this.#graphs.find(
      (entry) =>
        entry.recordings.length === recordings.length &&
        entry.recordings.every((recording, index) => recording === recordings[index]),
    );
    if (known !== undefined) return known.graph;
    const graph = new LaunchGraph(this.#driver, this.#stream, () => {
      for (const { launches } of recordings) launches.run();
    });
    this.#graphs.push({ recordings, graph });
    return graph;
  }

  /** Arguments were copied when their kernels were launched or captured, so they may go. */
  #forget(recording: CudaRecording | undefined): void {
    if (recording === undefined) return;
    const graphs = this.#graphs.filter(({ recordings }) => recordings.includes(recording));
    if (graphs.length > 0) this.#driver.release("a recording", "cuStreamSynchronize", this.#stream);
    for (const { graph } of graphs) graph.destroy();
    this.#graphs = this.#graphs.filter(({ recordings }) => !recordings.includes(recording));
    recording.launches.destroy();
  }
}

function asOwn(recording: Recording): CudaRecording {
  if (!(recording instanceof CudaRecording)) throw new Error("a recording of another device was submitted");
  return recording;
}

/** The recordings, if nothing but whole ones is run and each of them is going to be run again. */
function wholeRecordings(commands: readonly Command[]): readonly CudaRecording[] | undefined {
  const recordings: CudaRecording[] = [];
  for (const command of commands) {
    if (command.kind !== "run" || command.from !== undefined || command.to !== undefined) return undefined;
    const recording = asOwn(command.recording);
    if (!recording.replayed) return undefined;
    recordings.push(recording);
  }
  return recordings.length === 0 ? undefined : recordings;
}
