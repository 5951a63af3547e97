// Creates the pipeline of each kernel with Dawn, on the Vulkan driver that its environment names, one after the other. What the driver
// writes on stderr about a pipeline stands between two lines that name its place in the list.
//
//     node compile-kernels.mjs KERNELS.json       kernels: [{ entryPoint, text }]
import { readFileSync, writeSync } from "node:fs";
import { create } from "webgpu";

const kernels = JSON.parse(readFileSync(process.argv[2], "utf8"));
// Kept, because Dawn ends when this is collected.
export const gpu = create(["backend=vulkan"]);
const adapter = await gpu.requestAdapter();
if (adapter === null) throw new Error("the driver offers no adapter");
const requiredFeatures = ["shader-f16", "subgroups"].filter((feature) => adapter.features.has(feature));
const { maxStorageBuffersPerShaderStage, maxComputeWorkgroupStorageSize, maxComputeInvocationsPerWorkgroup } =
  adapter.limits;
const device = await adapter.requestDevice({
  requiredFeatures,
  requiredLimits: {
    maxStorageBuffersPerShaderStage,
    maxComputeWorkgroupStorageSize,
    maxComputeInvocationsPerWorkgroup,
  },
});
writeSync(2, `adapter: ${adapter.info.device} ${adapter.info.description}\n`);
for (const [index, { entryPoint, text }] of kernels.entries()) {
  writeSync(2, `=== kernel ${index}\n`);
  const module = device.createShaderModule({ code: text });
  await device.createComputePipelineAsync({ layout: "auto", compute: { module, entryPoint } });
}
writeSync(2, "=== end\n");
// A device that has never run anything cannot be taken down in order.
process.kill(process.pid, "SIGKILL");
