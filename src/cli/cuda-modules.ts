/** Machine code for the kernels of a package, where there is a compiler for it. */
import type { CompiledKernels } from "../backends/host/emit-package.js";
import { sha256 } from "../backends/host/pack-weights.js";
import type { Manifest } from "../runtime/manifest.js";
import { compileModules, fatbinArchitectures, findNvcc, ptxArchitecture } from "../runtime/node/nvcc.js";
import type { Terminal } from "./terminal.js";

const fatbinFile = "kernels/kernels.fatbin";
const ptxFile = "kernels/kernels.ptx";

/** Adds a fat binary and PTX to the kernels of every given set; all stay as they are where there is no nvcc, which is said. */
export async function addModules<T extends CompiledKernels>(
  terminal: Terminal,
  sets: readonly T[],
): Promise<readonly T[]> {
  const nvcc = await findNvcc();
  if (nvcc === undefined) {
    terminal.err(
      "There is no nvcc on the path: the package holds kernels as text, and its host compiles them with NVRTC.\n",
    );
    return sets;
  }
  return Promise.all(
    sets.map(async (set) => {
      const texts = new Map(
        [...set.kernels].filter((entry): entry is [string, string] => typeof entry[1] === "string"),
      );
      const { fatbin, ptx, ptxVersion } = await compileModules(nvcc, texts);
      const modules: Manifest["modules"] = {
        ...set.manifest.modules!,
        fatbin: { file: fatbinFile, sha256: await sha256(fatbin), architectures: fatbinArchitectures },
        ptx: { file: ptxFile, sha256: await sha256(ptx), architecture: ptxArchitecture, version: ptxVersion },
      };
      const kernels = new Map([...set.kernels, [fatbinFile, fatbin], [ptxFile, ptx]] as const);
      return { ...set, manifest: { ...set.manifest, modules }, kernels };
    }),
  );
}
