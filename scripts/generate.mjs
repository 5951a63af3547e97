// Writes src/generated/: texts that the compiler carries as strings, so that its core runs where there is no file system. Also
// schema/manifest.schema.json, which follows from the manifest's types.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { manifestSchema } from "./manifest-schema.mjs";
import { modelModule } from "./model-module.mjs";
import { packageModules } from "./package-modules.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));

/** The files of `folder` whose name ends in `suffix`, as a record from name to text, in name order. */
function texts(folder, suffix) {
  if (!existsSync(join(root, folder))) return {};
  const names = readdirSync(join(root, folder))
    .filter((name) => name.endsWith(suffix))
    .sort();
  return Object.fromEntries(names.map((name) => [name, readFileSync(join(root, folder, name), "utf8")]));
}

function writeIfChanged(path, text) {
  mkdirSync(join(path, ".."), { recursive: true });
  if (!existsSync(path) || readFileSync(path, "utf8") !== text) writeFileSync(path, text);
}

/** A module of records from names to texts: `constants` lists [name, doc comment, record]. */
function writeModule(name, constants) {
  const parts = constants.map(
    ([constant, doc, value]) =>
      `\n/** ${doc} */\nexport const ${constant}: Readonly<Record<string, string>> = ${JSON.stringify(value, null, 2)};\n`,
  );
  writeIfChanged(join(root, "src/generated", name), `// Written by scripts/generate.mjs.\n${parts.join("")}`);
}

writeModule("std-library.ts", [
  ["stdLibrary", "The library of the language: file name in std/ to its text.", texts("std", ".phd")],
]);

// In a package all of them stand in one folder.
const packageFiles = Object.fromEntries(
  Object.entries(texts("src/backends/host/package-files", ".ts")).map(([name, text]) => [
    name,
    text.replaceAll('"../../../runtime/', '"./'),
  ]),
);
const modules = packageModules({ ...texts("src/runtime", ".ts"), ...packageFiles });
writeModule("runtime-sources.ts", [
  [
    "runtimeSources",
    "The run time that every compiled package carries: file name to TypeScript source.",
    modules.typescript,
  ],
  ["runtimeScripts", "The same modules as JavaScript.", modules.javascript],
]);

writeModule("model-module.ts", [
  [
    "modelModule",
    "The typed module of a package, with `$name$` and the like for what differs between models.",
    modelModule(),
  ],
]);

writeIfChanged(join(root, "schema/manifest.schema.json"), manifestSchema());
