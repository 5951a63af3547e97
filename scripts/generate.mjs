// Writes src/generated/: texts that the compiler carries as strings, so that its core runs where there is no file system.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const root = new URL("..", import.meta.url).pathname;
const generated = join(root, "src/generated");
mkdirSync(generated, { recursive: true });

/** The files of `folder` whose name ends in `suffix`, as a record from name to text, in name order. */
function texts(folder, suffix) {
  if (!existsSync(join(root, folder))) return {};
  const names = readdirSync(join(root, folder))
    .filter((name) => name.endsWith(suffix))
    .sort();
  return Object.fromEntries(names.map((name) => [name, readFileSync(join(root, folder, name), "utf8")]));
}

function write(name, constant, doc, value) {
  const text = `// Written by scripts/generate.mjs.\n/** ${doc} */\nexport const ${constant}: Readonly<Record<string, string>> = ${JSON.stringify(value, null, 2)};\n`;
  const path = join(generated, name);
  if (!existsSync(path) || readFileSync(path, "utf8") !== text) writeFileSync(path, text);
}

write(
  "std-library.ts",
  "stdLibrary",
  "The library of the language: file name in std/ to its text.",
  texts("std", ".phd"),
);
write(
  "runtime-sources.ts",
  "runtimeSources",
  "The platform-neutral run time that every compiled package carries: file name to TypeScript source.",
  texts("src/runtime", ".ts"),
);
