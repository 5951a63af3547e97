/** The Chromium that npm installed, with WebGPU on its software adapter. */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { brotliDecompressSync } from "node:zlib";
import chromium from "@sparticuz/chromium";
import { type Browser, chromium as playwright } from "playwright-core";
import { readTar } from "../../src/runtime/node/tar.js";

export async function openBrowser(): Promise<Browser> {
  const executablePath = await chromium.executablePath();
  return playwright.launch({
    executablePath,
    headless: true,
    env: { ...process.env, ...missingLibraries(executablePath) } as Record<string, string>,
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

/** Where the system lacks libraries that the browser needs (NSS, on a bare one), the package's own stand in for them. */
function missingLibraries(executable: string): Readonly<Record<string, string>> {
  const linked = execFileSync("ldd", [executable], { encoding: "utf8" });
  if (!linked.includes("not found")) return {};
  const entry = createRequire(import.meta.url).resolve("@sparticuz/chromium");
  const root = entry.slice(0, entry.lastIndexOf("chromium") + "chromium".length);
  const folder = join(mkdtempSync(join(tmpdir(), "phdc-libraries-")), "lib");
  mkdirSync(folder);
  for (const [name, data] of readTar(brotliDecompressSync(readFileSync(join(root, "bin/al2023.tar.br"))))) {
    if (name.includes(".so")) writeFileSync(join(folder, basename(name)), data);
  }
  return { LD_LIBRARY_PATH: folder };
}
