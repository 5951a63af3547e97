import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { type Checkpoint, openSafetensors, openShardedSafetensors } from "../checkpoint.js";
import { WeightsError } from "../errors.js";
import { openFileSource } from "./file-source.js";
import { systemReason } from "./system-reason.js";

const wholeFile = "model.safetensors";
const indexFile = "model.safetensors.index.json";

/**
 * Opens the weights of a Hugging Face folder: `model.safetensors`, or the shards of `model.safetensors.index.json`. The whole file
 * wins where both are there. `path` may also be a safetensors file itself.
 */
export async function openCheckpoint(path: string): Promise<Checkpoint> {
  const isFile = path.endsWith(".safetensors");
  const single = await openFileSource(isFile ? path : join(path, wholeFile));
  if (single !== undefined) {
    try {
      return await openSafetensors(single);
    } catch (error) {
      await single.close();
      throw error;
    }
  }
  const index = isFile ? undefined : await readIndex(join(path, indexFile));
  if (index === undefined) {
    throw new WeightsError("file-unreadable", `${path} ${await whatIsMissing(path, isFile)}`, {
      details: { folder: path },
      hint: `Weights are read from a folder with ${wholeFile}, or with the shards that ${indexFile} lists, or from a .safetensors file.`,
    });
  }
  return openShardedSafetensors(index, (file) => openFileSource(join(path, file)), indexFile);
}

async function whatIsMissing(path: string, isFile: boolean): Promise<string> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) return "is not there";
  return isFile || found.isDirectory() ? `holds no ${wholeFile}` : "is neither a folder nor a .safetensors file";
}

async function readIndex(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw new WeightsError("file-unreadable", `${path} cannot be read: ${systemReason(cause)}`, {
      details: { file: path },
      cause,
    });
  }
}
