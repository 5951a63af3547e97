import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** The folder with trained models and golden cases, beside the project. */
export const shared = fileURLToPath(new URL("../../../../shared", import.meta.url));

/** For `describe.skipIf`: the tests below need the shared data, and say so by being skipped where it is absent. */
export const sharedIsAbsent = !existsSync(shared);
