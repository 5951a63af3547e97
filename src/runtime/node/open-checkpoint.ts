import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Checkpoint, openSafetensors, openShardedSafetensors } from "../checkpoint.js";
import { WeightsError } from "../errors.js";
import { openFileSource } from "./file-source.js";

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
    throw new WeightsError("file-unreadable", isFile ? `${path} is not there` : `${path} holds no ${wholeFile}`, {
      details: { folder: path },
      hint: `Weights are read from ${wholeFile}, or from the shards that ${indexFile} lists.`,
    });
  }
  return openShardedSafetensors(index, (file) => openFileSource(join(path, file)), indexFile);
}

async function readIndex(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw new WeightsError("file-unreadable", `${path} cannot be read (${code})`, { details: { file: path }, cause });
  }
}
