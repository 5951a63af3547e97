/**
 * A compiled package: kernels, manifest, typed module, the run time it needs, and a self-test. For WebGPU it depends on nothing but the
 * platform, for CUDA on koffi, which calls the driver's library.
 *
 *     model.ts  model.js        the typed module; TypeScript reads the first, everything else the second
 *     manifest.json             what a loader has to know; schema/manifest.schema.json of the compiler describes it
 *     kernels/                  one file per kernel; for CUDA also the header that they include and, from nvcc, machine code and PTX
 *     runtime/                  the run time, as TypeScript and as JavaScript
 *     selftest/                 the same model at reduced sizes, with expected logits
 *     package.json  README.md
 *
 * The same input gives the same bytes.
 */
import { coreScripts, coreSources } from "../../generated/runtime-core.js";
import { cudaScripts, cudaSources } from "../../generated/runtime-cuda.js";
import { webgpuScripts, webgpuSources } from "../../generated/runtime-webgpu.js";
import type { Manifest } from "../../runtime/manifest.js";
import { koffiVersion } from "../../version.js";
import { emitModelModule } from "./emit-model-module.js";
import { emitReadme } from "./emit-readme.js";
import type { PackageFile } from "./package-file.js";
import type { SelfTestData } from "./package-files/self-test.js";

/** What a target's back end has printed. */
export interface CompiledKernels {
  readonly manifest: Manifest;
  /** Kernels, what they include and what was compiled of them, by the file names of the manifest. */
  readonly kernels: ReadonlyMap<string, string | Uint8Array<ArrayBuffer>>;
}

const runtimes = {
  webgpu: [webgpuSources, webgpuScripts],
  cuda: [cudaSources, cudaScripts],
} as const;

/** The native library that the CUDA host calls the driver through, at the version that phdc is tested with. */
const cudaDependencies = { koffi: koffiVersion };

export interface PackageInput extends CompiledKernels {
  readonly selfTest?: CompiledKernels & { readonly data: SelfTestData };
}

/** All files of a package but packed weights, sorted by path. */
export function emitPackage({ manifest, kernels, selfTest }: PackageInput): readonly PackageFile[] {
  const files: PackageFile[] = [
    { path: "README.md", content: emitReadme(manifest) },
    { path: "manifest.json", content: json(manifest) },
    { path: "model.js", content: emitModelModule(manifest, "model.js") },
    { path: "model.ts", content: emitModelModule(manifest, "model.ts") },
    { path: "package.json", content: json(packageJson(manifest)) },
  ];
  for (const [file, content] of kernels) files.push({ path: file, content });
  for (const texts of [coreSources, coreScripts, ...runtimes[manifest.target]]) {
    for (const [name, content] of Object.entries(texts)) files.push({ path: `runtime/${name}`, content });
  }
  if (selfTest !== undefined) {
    files.push({ path: "selftest/manifest.json", content: json(selfTest.manifest) });
    files.push({ path: "selftest/expected.json", content: `${JSON.stringify(selfTest.data)}\n` });
    for (const [file, content] of selfTest.kernels) files.push({ path: `selftest/${file}`, content });
  }
  return files.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** Indented, with lists of numbers on one line: that of the classes of layers is as long as the model is deep. */
export function json(value: unknown): string {
  const text = JSON.stringify(value, null, 2);
  // Strings hold no line breaks, so what follows one is the structure of the text.
  const lists = text.replaceAll(
    /\[\n\s+([-+.e\d,\s]+)\n\s+\]/g,
    (_, items: string) => `[${items.replaceAll(/\n\s+/g, " ")}]`,
  );
  return `${lists}\n`;
}

function packageJson({ model, generator, target }: Manifest): unknown {
  return {
    name: model.name
      .replaceAll(/([a-z0-9])([A-Z])/g, "$1-$2")
      .replaceAll("_", "-")
      .toLowerCase(),
    version: "0.0.0",
    private: true,
    description: `${model.name}, compiled by ${generator}`,
    type: "module",
    exports: { ".": "./model.js", "./runtime": "./runtime/index.js", "./manifest.json": "./manifest.json" },
    ...(target === "cuda" && { dependencies: cudaDependencies }),
  };
}
