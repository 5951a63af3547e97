import { open } from "node:fs/promises";
import type { ByteSource } from "../byte-source.js";
import { WeightsError } from "../errors.js";
import { systemReason } from "./system-reason.js";

/** A file on disk, read in pieces. Undefined where there is no file of that name. */
export async function openFileSource(path: string): Promise<ByteSource | undefined> {
  try {
    const file = await open(path, "r");
    const stat = await file.stat();
    if (!stat.isFile()) {
      await file.close();
      throw new WeightsError("file-unreadable", `${path} is not a file`, { details: { file: path } });
    }
    return {
      name: path,
      size: stat.size,
      read: async (offset, length) => {
        const bytes = new Uint8Array(length);
        let filled = 0;
        while (filled < length) {
          const { bytesRead } = await file.read(bytes, filled, length - filled, offset + filled);
          if (bytesRead === 0) {
            throw new WeightsError("file-unreadable", `${path} became shorter while it was read`, {
              details: { file: path },
            });
          }
          filled += bytesRead;
        }
        return bytes;
      },
      close: () => file.close(),
    };
  } catch (cause) {
    if (cause instanceof WeightsError) throw cause;
    const code = (cause as NodeJS.ErrnoException).code;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw new WeightsError("file-unreadable", `${path} cannot be read: ${systemReason(cause)}`, {
      details: { file: path },
      cause,
    });
  }
}
