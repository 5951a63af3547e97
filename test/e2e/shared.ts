/** The shared material: golden cases and trained models. Absent outside of the workshop; tests that need it skip, saying so. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const shared = fileURLToPath(new URL("../../../shared", import.meta.url));
export const sharedModels = join(shared, "models");
const golden = join(shared, "golden");

/** Folders of golden cases by name. */
export const goldenFolders: readonly (readonly [name: string, folder: string])[] = existsSync(golden)
  ? readdirSync(golden)
      .sort()
      .map((name) => [name, join(golden, name)] as const)
  : [];

export const haveStories = existsSync(join(sharedModels, "stories260k"));
if (goldenFolders.length === 0) console.warn("../shared is absent: golden tests are skipped");
