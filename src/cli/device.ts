/** Choosing where to run. A device that was named is never replaced by another; `auto` says on stderr what it took. */

import { usageDiagnostics } from "../diagnostics/catalogue-usage.js";
import type { FloatType } from "../ir/kernel/types.js";
import type { CudaDevice } from "../runtime/cuda/device.js";
import { NoAdapter } from "../runtime/errors.js";
import type { AdapterChoice, FoundAdapter } from "../runtime/node/adapter.js";
import type { DeviceName, DtypeName } from "./options.js";
import { UsageError } from "./report.js";
import type { Terminal } from "./terminal.js";

export type ChosenGpu =
  | { readonly kind: "webgpu"; readonly found: FoundAdapter; readonly dtype: "f32" | "f16"; readonly name: string }
  /** The device is open. */
  | { readonly kind: "cuda"; readonly device: CudaDevice; readonly dtype: FloatType; readonly name: string };

export type ChosenDevice = ChosenGpu | { readonly kind: "cpu"; readonly name: string };

/** The interpreter's name in messages and reports. */
const cpuName = "the CPU interpreter (float64)";

export async function chooseDevice(terminal: Terminal, device: DeviceName, dtype: DtypeName): Promise<ChosenDevice> {
  switch (device) {
    case "cpu":
      return chooseCpu(dtype);
    case "webgpu":
      return chooseWebGpu("any", dtype);
    case "cuda":
    case "cuda-emulated":
      return chooseCuda(device, dtype);
    case "auto":
      return chooseBest(terminal, dtype);
  }
}

/**
 * A GPU before anything that computes on the processor: CUDA where it can be driven and has kernels compiled, then WebGPU, then
 * WebGPU in software, then the interpreter.
 */
async function chooseBest(terminal: Terminal, dtype: DtypeName): Promise<ChosenDevice> {
  const webgpu = [() => chooseWebGpu("hardware", dtype), () => chooseWebGpu("software", dtype)];
  const reasons: string[] = [];
  for (const choose of [() => chooseUsableCuda(dtype), ...(dtype === "bf16" ? [] : webgpu)]) {
    try {
      const chosen = await choose();
      terminal.err(`Running on ${chosen.kind === "cuda" ? "CUDA" : "WebGPU"}: ${chosen.name}, ${chosen.dtype}\n`);
      return chosen;
    } catch (error) {
      if (!(error instanceof NoAdapter)) throw error;
      reasons.push(error.message);
    }
  }
  if (dtype !== "auto" && dtype !== "f32") {
    throw new NoAdapter(`--dtype ${dtype} needs a GPU: ${reasons.join("; ")}`, {
      hint: "`phdc doctor` shows which devices there are. --dtype f32 runs on any.",
    });
  }
  const chosen = chooseCpu(dtype);
  terminal.err(`Running on ${chosen.name}: ${reasons.join("; ")}\n`);
  return chosen;
}

async function chooseWebGpu(choice: AdapterChoice, dtype: DtypeName): Promise<ChosenGpu> {
  if (dtype === "bf16") throw conflict("--dtype bf16 needs CUDA; WebGPU has f16 and f32");
  const { findAdapter } = await import("../runtime/node/adapter.js");
  const found = await findAdapter(choice);
  const { name, software, features } = found.description;
  const half = features.includes("shader-f16");
  return {
    kind: "webgpu",
    found,
    name: software ? `${name}, a software adapter` : name,
    dtype: dtype === "auto" ? (half ? "f16" : "f32") : dtype,
  };
}

async function chooseCuda(
  device: "cuda" | "cuda-emulated",
  dtype: DtypeName,
): Promise<Extract<ChosenGpu, { kind: "cuda" }>> {
  const { openCuda, openEmulatedCuda } = await import("../runtime/node/cuda.js");
  const opened = device === "cuda" ? openCuda() : await openEmulatedCuda();
  // Both halves are as fast, and f16 has three bits more.
  return { kind: "cuda", device: opened, name: opened.name, dtype: dtype === "auto" ? "f16" : dtype };
}

/** A GPU that is new enough, where something compiles kernels for it: they are compiled here and now. */
async function chooseUsableCuda(dtype: DtypeName): Promise<ChosenGpu> {
  const chosen = await chooseCuda("cuda", dtype);
  const { findCompilers, unusable } = await import("../runtime/node/cuda.js");
  const reason = unusable(chosen.device.description, await findCompilers());
  if (reason === undefined) return chosen;
  chosen.device.close();
  throw new NoAdapter(`${chosen.name} is there, but ${reason}`);
}

function chooseCpu(dtype: DtypeName): ChosenDevice {
  if (dtype === "f16" || dtype === "bf16") {
    throw conflict(`--dtype ${dtype} needs a GPU; the CPU interpreter computes in float64`);
  }
  return { kind: "cpu", name: cpuName };
}

function conflict(reason: string): UsageError {
  return new UsageError(usageDiagnostics.optionsConflict({ reason }));
}
