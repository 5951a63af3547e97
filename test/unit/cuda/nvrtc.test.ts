/** Packages' kernels through NVRTC itself, which needs no GPU: only where its library and the toolkit's headers are. */
import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { describe, expect, it } from "vitest";
import type { ModuleSource } from "../../../src/runtime/cuda/module-builder.js";
import { nvrtcBuilder } from "../../../src/runtime/cuda/nvrtc.js";
import { DeviceError, PhdcError } from "../../../src/runtime/errors.js";
import type { KernelInfo, Manifest } from "../../../src/runtime/manifest.js";
import { scratchFolder } from "../../cli/run-cli.js";
import { compileCudaPackage } from "../../support/cuda-package.js";

const scratch = scratchFolder();

function textOf(name: string, text: string, computeCapability = 80): ModuleSource {
  const info = { name, entryPoint: name, file: `kernels/${name}.cu` } as KernelInfo;
  return { kernels: [{ info, text }], headers: new Map(), computeCapability };
}

const empty = 'extern "C" __global__ void empty() {}\n';

/** Why nothing can be compiled here, if so. */
async function missing(): Promise<string | undefined> {
  try {
    await nvrtcBuilder().build(textOf("empty", `#include <cuda_bf16.h>\n#include <cuda_fp16.h>\n${empty}`));
    return undefined;
  } catch (error) {
    if (!(error instanceof PhdcError)) throw error;
    return error.message.slice(0, 400);
  }
}

const reason = await missing();
if (reason !== undefined) console.info(`NVRTC compiles nothing here, so it is not tested: ${reason}`);

describe.skipIf(reason !== undefined)("NVRTC", () => {
  it.each(["f32", "f16", "bf16"])(
    "compiles every kernel of a PHD package in %s for the device",
    async (dtype) => {
      const folder = join(scratch, dtype);
      await compileCudaPackage(folder, dtype);
      const read = (file: string) => readFileSync(join(folder, file), "utf8");
      const manifest: Manifest = JSON.parse(read("manifest.json"));
      const images = await nvrtcBuilder().build({
        kernels: manifest.kernels.map((info) => ({ info, text: read(info.file) })),
        headers: new Map(manifest.modules!.headers.map(({ file }) => [basename(file), read(file)])),
        computeCapability: 80,
      });
      const names = images.flatMap(({ kernels }) => kernels);
      expect(names).toEqual(manifest.kernels.map(({ name }) => name));
      for (const { kernels, image } of images) {
        // A cubin is an ELF file, and holds the kernel under the name that the host asks the driver for.
        expect(Array.from(image.subarray(0, 4))).toEqual([0x7f, 0x45, 0x4c, 0x46]);
        const { entryPoint } = manifest.kernels.find(({ name }) => name === kernels[0])!;
        expect(Buffer.from(image).includes(`.text.${entryPoint}\0`)).toBe(true);
      }
    },
    600_000,
  );

  it("says which line of which file it refuses", async () => {
    const bad = nvrtcBuilder().build(textOf("wrong", 'extern "C" __global__ void wrong() {\n  nobody();\n}\n'));
    await expect(bad).rejects.toThrow(DeviceError);
    await expect(bad).rejects.toThrow(/NVRTC_ERROR_COMPILATION:\nkernels\/wrong\.cu\(2\): error: .*nobody/);
  });

  it("names the version whose headers it wants", async () => {
    const bad = nvrtcBuilder().build(textOf("wrong", `#include <absent.h>\n${empty}`));
    await expect(bad).rejects.toMatchObject({ hint: expect.stringMatching(/This is NVRTC \d+\.\d+\. .*headers/) });
    await expect(bad).rejects.toThrow(/absent\.h/);
  });

  it("refuses an architecture that it does not know", async () => {
    await expect(nvrtcBuilder().build(textOf("empty", empty, 999))).rejects.toThrow(
      /empty\.cu: nvrtcCompileProgram gave/,
    );
  });
});
