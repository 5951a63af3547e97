/** What a compiled package's folder holds. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Manifest } from "../../src/runtime/manifest.js";

/** The paths of all files, from the folder's root, sorted. */
export function filesOf(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();
}

/** The manifest of the package, or that of its self-test. */
export function manifestOf(
  folder: string,
  file: "manifest.json" | "selftest/manifest.json" = "manifest.json",
): Manifest {
  return JSON.parse(readFileSync(join(folder, file), "utf8")) as Manifest;
}
