/** The Chromium that npm installed, with WebGPU on its software adapter. */
import chromium from "@sparticuz/chromium";
import { type Browser, chromium as playwright } from "playwright-core";

export async function openBrowser(): Promise<Browser> {
  return playwright.launch({
    executablePath: await chromium.executablePath(),
    headless: true,
    args: [
      "--no-sandbox",
      "--disable-dev-shm-usage",
      "--enable-unsafe-webgpu",
      "--use-webgpu-adapter=swiftshader",
      "--enable-features=Vulkan",
      // As in Node: SwiftShader takes seconds per kernel for what this feature asks of it.
      "--disable-dawn-features=use_vulkan_zero_initialize_workgroup_memory_extension",
    ],
  });
}
