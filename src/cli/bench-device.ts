/** Devices by name, as a benchmark opens them. */
import { freemem } from "node:os";
import type { SweepDevice } from "../bench/run-sweep.js";
import { findAdapter } from "../runtime/node/adapter.js";
import { openDevice } from "../runtime/webgpu/device.js";
import { capabilitiesOf } from "./capabilities.js";

/** Of free memory, the part that a software adapter may take: what it computes with is the machine's own. */
const shareOfMemory = 0.8;

export async function openSweepDevice(): Promise<SweepDevice> {
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
    dtypes: capabilities.f16 ? ["f16", "f32"] : ["f32"],
    // A GPU's own memory is unknown to WebGPU.
    ...(description.software && { memory: Math.floor(freemem() * shareOfMemory) }),
  };
}
