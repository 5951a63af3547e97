import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { ignoredKeys } from "../../src/import/ignored-keys.js";

it("publishes in docs/import.md exactly the keys that import ignores, and why", () => {
  const text = readFileSync(new URL("../../docs/import.md", import.meta.url), "utf8");
  const section = text.slice(text.indexOf("## Keys that are ignored"), text.indexOf("## The `phd` block"));
  const rows = [...section.matchAll(/^\| `(\w+)` *\| (.+) *\|$/gm)].map(([, key, why]) => [key, why!.trim()]);
  expect(rows).toEqual(Object.entries(ignoredKeys));
});
