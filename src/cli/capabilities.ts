/** What kernels may use on an adapter: `Device` requests all of it. */
import { type Capabilities, portableCapabilities } from "../ir/kernel/capabilities.js";
import type { AdapterDescription } from "../runtime/webgpu/adapter-info.js";

export function capabilitiesOf(adapter: AdapterDescription): Capabilities {
  const { features, limits, subgroupSizes } = adapter;
  const limit = (name: string, least: number) => Math.max(limits[name] ?? 0, least);
  const { limits: portable } = portableCapabilities;
  return {
    ...portableCapabilities,
    ...(features.includes("subgroups") && subgroupSizes !== undefined
      ? { subgroups: { minSize: subgroupSizes[0], maxSize: subgroupSizes[1] } }
      : {}),
    f16: features.includes("shader-f16"),
    limits: {
      maxWorkgroupSize: limit("maxComputeInvocationsPerWorkgroup", portable.maxWorkgroupSize),
      maxWorkgroupMemory: limit("maxComputeWorkgroupStorageSize", portable.maxWorkgroupMemory),
      maxStorageBuffers: limit("maxStorageBuffersPerShaderStage", portable.maxStorageBuffers),
      maxBindingSize: limit("maxStorageBufferBindingSize", portable.maxBindingSize),
      maxWorkgroupsPerDimension: limit("maxComputeWorkgroupsPerDimension", portable.maxWorkgroupsPerDimension),
    },
  };
}
