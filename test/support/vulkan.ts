/** The software adapters that other processes are given: in this one, `findAdapter` finds them. */
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { unpackSoftwareVulkan } from "../../src/runtime/node/software-adapter.js";

/** Mesa's driver, where the system has it: Deno's wgpu takes it, it has shader-f16, and it is another implementation than SwiftShader. */
const lavapipe = "/usr/share/vulkan/icd.d/lvp_icd.x86_64.json";

/** Variables under which a process finds npm's software adapter, or with `mesa` that of the system where it has one. */
export async function vulkanEnvironment(preferred: "npm" | "mesa"): Promise<Readonly<Record<string, string>>> {
  const { loader, driver } = await unpackSoftwareVulkan();
  const chosen = preferred === "mesa" && existsSync(lavapipe) ? lavapipe : driver;
  // Both names of the variable: this process may have set the newer one, which wins, for Dawn.
  return { LD_LIBRARY_PATH: dirname(loader), VK_ICD_FILENAMES: chosen, VK_DRIVER_FILES: chosen };
}
