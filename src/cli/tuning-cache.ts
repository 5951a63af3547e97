/** The tunings of a user's adapters, one file each in the cache folder. */
import { createHash } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Tuning } from "../kernels/tuning.js";
import { writeFileAtomic } from "../runtime/node/atomic-write.js";
import { cacheRoots } from "../runtime/node/cache-roots.js";
import { readTuning, type TunedAdapter, type TuningFile } from "../tune/tuning-file.js";
import type { ChosenDevice } from "./device.js";
import type { Terminal } from "./terminal.js";

/** Undefined for the CPU interpreter, which has nothing to tune. */
export function tunedAdapter(chosen: ChosenDevice): TunedAdapter | undefined {
  if (chosen.kind === "cpu") return undefined;
  if (chosen.kind === "cuda") {
    const { name, computeCapability, driverVersion } = chosen.device.description;
    return {
      ...{ vendor: "nvidia", architecture: `cuda ${String(computeCapability)}` },
      ...{ device: name, driver: String(driverVersion) },
    };
  }
  const { vendor, architecture, device, description } = chosen.found.description;
  return { vendor, architecture, device, driver: description };
}

/** Where an adapter's file is looked for, in order. */
function pathsOf(adapter: TunedAdapter): readonly string[] {
  const hash = createHash("sha256").update(JSON.stringify(adapter)).digest("hex").slice(0, 16);
  return cacheRoots().map((root) => join(root, "phdc", `tuning-${hash}.json`));
}

/** Writes the file to the first folder that can be written; gives its path. */
export async function storeTuning(file: TuningFile): Promise<string> {
  let failure: unknown;
  for (const path of pathsOf(file.adapter)) {
    try {
      await mkdir(dirname(path), { recursive: true });
      await writeFileAtomic(path, `${JSON.stringify(file, null, 2)}\n`);
      return path;
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}

/** The tuning that was stored for an adapter; without one, or with one that cannot be used, the defaults, and a line that says why. */
export async function findTuning(terminal: Terminal, chosen: ChosenDevice): Promise<{ readonly tuning?: Tuning }> {
  const adapter = tunedAdapter(chosen);
  if (adapter === undefined) return {};
  for (const path of pathsOf(adapter)) {
    const text = await readFile(path, "utf8").catch(() => undefined);
    if (text === undefined) continue;
    const found = readTuning(text, adapter);
    if (!("refused" in found)) return { tuning: found };
    terminal.err(`${path} is ignored: ${found.refused}. Kernels keep their defaults.\n`);
    return {};
  }
  terminal.err(`Nothing is tuned for ${chosen.name} yet; kernels keep their defaults. phdc tune measures them.\n`);
  return {};
}
