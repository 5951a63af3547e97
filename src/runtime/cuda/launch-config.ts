/**
 * The record of a launch that may begin before the one before it in its stream has ended; CUDA calls it programmatic dependent launch.
 *
 * Such a kernel does what does not depend on the one before it, and waits for that one's end with an instruction of its own. So only
 * kernels that hold this instruction may be launched so: those that were compiled for sm_90 or newer.
 */
import type { BoundCall } from "../compute-device.js";

/** The least compute capability with the instruction; text that is compiled for less leaves it out. */
export const leastForEarlyLaunch = 90;
/** The first driver that captures such launches into graphs. */
export const leastDriverForEarlyLaunch = 12030;
/** What kernels that hold the instruction need, as the manifest says. */
export const earlyLaunchFeature = "dependent-launch";

/** Bytes of CUlaunchConfig, rounded up to the alignment of CUlaunchAttribute, and of one of these. */
const configBytes = 56;
const attributeBytes = 72;
export const launchConfigBytes = configBytes + attributeBytes;

const programmaticStreamSerialization = 6;

/** Writes the record to memory that stands at `address`. */
export function writeLaunchConfig(memory: DataView, address: bigint, call: BoundCall, stream: bigint): void {
  const { workgroups, info } = call;
  for (const [index, size] of [...workgroups, ...info.workgroupSize].entries()) memory.setUint32(index * 4, size, true);
  // No dynamic shared memory.
  memory.setUint32(24, 0, true);
  memory.setBigUint64(32, stream, true);
  memory.setBigUint64(40, address + BigInt(configBytes), true);
  memory.setUint32(48, 1, true);
  memory.setInt32(configBytes, programmaticStreamSerialization, true);
  // The value of the attribute: allowed.
  memory.setInt32(configBytes + 8, 1, true);
}
