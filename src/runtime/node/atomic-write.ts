/**
 * Output that is there whole or not at all.
 *
 * Files and folders are written under a temporary name beside their place and renamed when they are complete; whatever ends the
 * process before that, an error, Ctrl-C or `process.exit`, takes the temporary with it.
 */
import { randomUUID } from "node:crypto";
import { rmSync } from "node:fs";
import { chmod, mkdir, readdir, realpath, rename, rm, stat, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { OutputError } from "../errors.js";
import { systemReason } from "./system-reason.js";

/** Temporaries that exist now. */
const temporaries = new Set<string>();

function removeTemporaries(): void {
  for (const path of temporaries) rmSync(path, { recursive: true, force: true });
}

function removeAndDie(signal: NodeJS.Signals): void {
  removeTemporaries();
  process.off(signal, removeAndDie);
  process.kill(process.pid, signal);
}

const endings = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

function track(path: string): void {
  if (temporaries.size === 0) {
    process.on("exit", removeTemporaries);
    for (const signal of endings) process.on(signal, removeAndDie);
  }
  temporaries.add(path);
}

function untrack(path: string): void {
  temporaries.delete(path);
  if (temporaries.size === 0) {
    process.off("exit", removeTemporaries);
    for (const signal of endings) process.off(signal, removeAndDie);
  }
}

/**
 * Runs `write` on a temporary path beside `path`, then `place`, and leaves nothing behind if either fails. Errors name the path as it
 * was `asked` for.
 */
async function whole(
  asked: string,
  path: string,
  write: (temporary: string) => Promise<void>,
  place: (temporary: string) => Promise<void>,
) {
  const temporary = join(dirname(path), `.${basename(path)}.${randomUUID()}.tmp`);
  track(temporary);
  try {
    await mkdir(dirname(path), { recursive: true });
    await write(temporary);
    await place(temporary);
  } catch (error) {
    // Where not even the folder could be made, removing the temporary fails too, and the first error is the one to tell.
    await rm(temporary, { recursive: true, force: true }).catch(() => undefined);
    throw asOutputError(asked, error);
  } finally {
    untrack(temporary);
  }
}

function asOutputError(path: string, error: unknown): unknown {
  const code = (error as NodeJS.ErrnoException).code;
  // Only what the file system says about the output; errors of the caller's own `write` pass through.
  if (error instanceof OutputError || typeof code !== "string" || !/^E[A-Z]+$/.test(code)) return error;
  return new OutputError("output-unwritable", `${path} cannot be written: ${systemReason(error)}`, {
    details: { path, reason: code },
    cause: error,
  });
}

/**
 * Writes a file whole, replacing what was there; who may read and write it stays as it was. What is no file, as `/dev/null` or a pipe,
 * is written to and not replaced.
 */
export async function writeFileAtomic(path: string, data: string | Uint8Array): Promise<void> {
  const target = await followLinks(path);
  const existing = await stat(path).catch(() => undefined);
  if (existing !== undefined && !existing.isFile() && !existing.isDirectory()) return writeFile(path, data);
  const mode = existing?.isFile() ? existing.mode & 0o777 : undefined;
  await whole(
    path,
    target,
    async (temporary) => {
      await writeFile(temporary, data);
      if (mode !== undefined) await chmod(temporary, mode);
    },
    (temporary) => rename(temporary, target),
  );
}

/** Throws, before any work is done, where a file of this path could not be written. */
export async function assertWritable(path: string): Promise<void> {
  const target = await followLinks(path);
  const existing = await stat(path).catch(() => undefined);
  if (existing?.isDirectory()) throw asOutputError(path, Object.assign(new Error(), { code: "EISDIR" }));
  if (existing !== undefined && !existing.isFile()) return;
  await whole(
    path,
    target,
    (temporary) => writeFile(temporary, ""),
    (temporary) => rm(temporary),
  );
}

/** The place that a path means: where it is a link, what it points to is written, and the link stays. */
async function followLinks(path: string): Promise<string> {
  const target = resolve(path);
  return realpath(target).catch(() => target);
}

/**
 * Writes a folder whole: `fill` writes into a temporary folder, which then takes the place of `path`.
 *
 * A folder that is there already is replaced when it is empty or when `foreignEntry` finds nothing in it that is no part of an earlier
 * output; anything else stays, and an OutputError says so.
 */
export async function writeFolderAtomic(
  path: string,
  fill: (folder: string) => Promise<void>,
  foreignEntry: (entries: readonly string[]) => string | undefined = ([first]) => first,
): Promise<void> {
  const target = await followLinks(path);
  const existing = await entriesOf(path);
  const foreign = existing === undefined || existing.length === 0 ? undefined : foreignEntry(existing);
  if (foreign !== undefined) {
    throw new OutputError("output-exists", `${path} holds ${foreign}, which is no part of an earlier output`, {
      details: { path, entry: foreign },
      hint: "Name a new or an empty folder, or move that file away.",
    });
  }
  await whole(
    path,
    target,
    async (temporary) => {
      await mkdir(temporary);
      await fill(temporary);
    },
    (temporary) => swapIn(temporary, target, existing !== undefined),
  );
}

async function swapIn(temporary: string, target: string, exists: boolean): Promise<void> {
  if (!exists) return rename(temporary, target);
  const old = `${temporary}.old`;
  await rename(target, old);
  try {
    await rename(temporary, target);
  } catch (error) {
    await rename(old, target);
    throw error;
  }
  await rm(old, { recursive: true, force: true });
}

/** Entries of a folder, or undefined where nothing is. */
async function entriesOf(path: string): Promise<readonly string[] | undefined> {
  try {
    return await readdir(path);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ENOENT") return undefined;
    if (code === "ENOTDIR") {
      throw new OutputError("output-exists", `${path} is a file, not a folder`, { details: { path } });
    }
    throw asOutputError(path, error);
  }
}
