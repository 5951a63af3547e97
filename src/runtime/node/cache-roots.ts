/** Folders for what is made once per user and can be made again. */
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";

/** The first that can be written serves: the user's cache, else a folder among the temporary ones. */
export function cacheRoots(): readonly string[] {
  const user = process.getuid?.() ?? "user";
  return [process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), join(tmpdir(), `phdc-${user}`)];
}
