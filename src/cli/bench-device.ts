/** Devices by name, as a benchmark opens them. */
import { freemem } from "node:os";
import { cudaCapabilities } from "../backends/cuda/capabilities.js";
import type { SweepDevice } from "../bench/run-sweep.js";
import { findAdapter } from "../runtime/node/adapter.js";
import { openDevice } from "../runtime/webgpu/device.js";
import { capabilitiesOf } from "./capabilities.js";

/** Of free memory, the part that a device may take that computes with the machine's own. */
const shareOfMemory = 0.8;

const mib = 1024 * 1024;

/** The emulator checks every access: it copies some kilobytes while a GPU copies gigabytes. */
const copyBytes = { hardware: 256 * mib, software: 64 * mib, emulated: mib / 16 } as const;

export async function openSweepDevice(name: string): Promise<SweepDevice> {
  return name === "webgpu" ? openWebGpu() : openCudaDevice(name === "cuda-emulated");
}

async function openWebGpu(): Promise<SweepDevice> {
  const { adapter, description } = await findAdapter("any");
  const device = await openDevice(adapter);
  const capabilities = capabilitiesOf(description);
  return {
    device,
    name: description.name,
    software: description.software,
    ...(description.description !== "" && { driver: description.description }),
    target: device.target,
    capabilities,
    dtypes: capabilities.f16 ? ["f32", "f16"] : ["f32"],
    copyBytes: description.software ? copyBytes.software : copyBytes.hardware,
    // A GPU's own memory is unknown to WebGPU.
    ...(description.software && { memory: Math.floor(freemem() * shareOfMemory) }),
  };
}

async function openCudaDevice(emulated: boolean): Promise<SweepDevice> {
  const { openCuda, openEmulatedCuda } = await import("../runtime/node/cuda.js");
  const device = emulated ? await openEmulatedCuda() : openCuda();
  const memory = emulated ? Math.floor(freemem() * shareOfMemory) : device.freeMemory();
  return {
    device,
    name: device.name,
    software: emulated,
    driver: device.description.driverVersion,
    target: device.target,
    capabilities: cudaCapabilities,
    dtypes: ["f32", "f16", "bf16"],
    copyBytes: emulated ? copyBytes.emulated : copyBytes.hardware,
    ...(memory !== undefined && { memory }),
  };
}
