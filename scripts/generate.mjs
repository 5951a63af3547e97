// Writes src/generated/: texts that the compiler carries as strings, so that its core runs where there is no file system. Also
// the schemas in schema/, which follow from types.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { benchSchema, manifestSchema } from "./manifest-schema.mjs";
import { modelModule } from "./model-module.mjs";
import { packageModules } from "./package-modules.mjs";

/** The parts of the run time that packages carry. */
const runtimeParts = {
  core: "What every package carries",
  webgpu: "What packages for WebGPU carry besides",
  cuda: "What packages for CUDA carry besides",
};

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

/** Files that only packages have: there they stand in the run time's own folder. */
function packageFiles(folder) {
  const files = Object.entries(texts(`src/backends/host/package-files/${folder}`, ".ts"));
  return Object.fromEntries(files.map(([name, text]) => [name, text.replaceAll(/"(\.\.\/)+runtime\//g, '"./')]));
}

/** The modules of `folder` of the run time, by their paths in it. */
function runtimeFolder(folder) {
  const files = Object.entries(texts(`src/runtime/${folder}`, ".ts"));
  return Object.fromEntries(files.map(([name, text]) => [`${folder}/${name}`, text]));
}

const { "index.ts": webgpuIndex, ...core } = texts("src/runtime", ".ts");
const modules = packageModules({
  core: { ...core, ...packageFiles("") },
  webgpu: { "index.ts": webgpuIndex, ...runtimeFolder("webgpu"), ...packageFiles("webgpu") },
  cuda: { ...runtimeFolder("cuda"), ...packageFiles("cuda") },
});
for (const [part, { typescript, javascript }] of Object.entries(modules)) {
  writeModule(`runtime-${part}.ts`, [
    [`${part}Sources`, `${runtimeParts[part]}: file name to TypeScript source.`, typescript],
    [`${part}Scripts`, "The same modules as JavaScript.", javascript],
  ]);
}

for (const target of ["webgpu", "cuda"]) {
  writeModule(`model-module-${target}.ts`, [
    [
      `${target}ModelModule`,
      `The typed module of a package for ${target}, with \`$name$\` and the like for what differs between models.`,
      modelModule(target),
    ],
  ]);
}

writeIfChanged(join(root, "schema/manifest.schema.json"), manifestSchema());
writeIfChanged(join(root, "schema/bench.schema.json"), benchSchema());
