import type { Capabilities } from "../../ir/kernel/capabilities.js";

/**
 * What every GPU offers that the CUDA target is for: sm_80 and newer, with warps of 32.
 *
 * Workgroup memory is the static shared memory of a block, which needs no opt-in. Buffers are pointers, so a binding may be as large as
 * the device's memory.
 */
export const cudaCapabilities: Capabilities = {
  subgroups: { minSize: 32, maxSize: 32 },
  f16: true,
  bf16: true,
  matrix: true,
  asyncCopy: true,
  dependentLaunch: true,
  limits: {
    maxWorkgroupSize: 256,
    maxWorkgroupMemory: 48 * 1024,
    maxStorageBuffers: 32,
    maxBindingSize: 2 ** 40,
    maxWorkgroupsPerDimension: 65535,
  },
};
