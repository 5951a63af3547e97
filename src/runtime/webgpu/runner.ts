/**
 * Runs a session's programs on WebGPU: what is submitted together is one command buffer, and calls without copies between them are one
 * compute pass.
 */
import type { BoundCall, Command, ProgramSlot, Recording, Runner, Submission } from "../compute-device.js";
import type { Device } from "./device.js";
import type { KernelSet } from "./kernels.js";
import { Readback } from "./readback.js";
import { type Dispatch, Recorder } from "./recording.js";

class GpuRecording implements Recording {
  readonly calls: readonly BoundCall[];
  readonly dispatches: readonly Dispatch[];

  constructor(calls: readonly BoundCall[], dispatches: readonly Dispatch[]) {
    this.calls = calls;
    this.dispatches = dispatches;
  }
}

export class GpuRunner implements Runner {
  readonly #device: Device;
  readonly #recorders: Readonly<Record<ProgramSlot, Recorder>>;
  readonly #readback: Readback;

  constructor(device: Device, kernels: KernelSet) {
    this.#device = device;
    this.#readback = new Readback(device);
    this.#recorders = {
      prefill: new Recorder(device, kernels, "prefill"),
      decode: new Recorder(device, kernels, "decode"),
      sampling: new Recorder(device, kernels, "sampling"),
    };
  }

  async record(slot: ProgramSlot, calls: readonly BoundCall[]): Promise<Recording> {
    return new GpuRecording(calls, await this.#recorders[slot].record(calls));
  }

  async submit({ what, commands, reads, validate }: Submission): Promise<() => Promise<ArrayBuffer>> {
    const run = () => {
      const encoder = this.#device.gpu.createCommandEncoder();
      encode(encoder, commands);
      const wait = reads.length > 0 ? this.#readback.encode(encoder, reads) : async () => new ArrayBuffer(0);
      this.#device.queue.submit([encoder.finish()]);
      return wait;
    };
    return validate ? this.#device.checked(what, run) : run();
  }

  destroy(): void {
    for (const recorder of Object.values(this.#recorders)) recorder.destroy();
    this.#readback.destroy();
  }
}

/** Encodes commands; a pass ends only where a copy stands. */
function encode(encoder: GPUCommandEncoder, commands: readonly Command[]): void {
  let pass: GPUComputePassEncoder | undefined;
  let pipeline: GPUComputePipeline | undefined;
  for (const command of commands) {
    if (command.kind === "copy") {
      pass?.end();
      pass = undefined;
      pipeline = undefined;
      const { source, target, offset, bytes } = command;
      encoder.copyBufferToBuffer(source as GPUBuffer, 0, target as GPUBuffer, offset, bytes);
      continue;
    }
    pass ??= encoder.beginComputePass();
    for (const dispatch of dispatchesOf(command.recording).slice(command.from ?? 0, command.to)) {
      if (dispatch.pipeline !== pipeline) pass.setPipeline(dispatch.pipeline);
      pipeline = dispatch.pipeline;
      pass.setBindGroup(0, dispatch.bindGroup);
      pass.dispatchWorkgroups(...dispatch.workgroups);
    }
  }
  pass?.end();
}

function dispatchesOf(recording: Recording): readonly Dispatch[] {
  if (!(recording instanceof GpuRecording)) throw new Error("a recording of another device was submitted");
  return recording.dispatches;
}
