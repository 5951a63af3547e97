import { mkdir, mkdtemp, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const project = fileURLToPath(new URL("../../..", import.meta.url));

/** The run time as plain Node executes it, in a new temporary folder: for tests of how a process starts and ends. */
export async function runtimeAsJavaScript(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "phdc-runtime-"));
  await symlink(join(project, "node_modules"), join(folder, "node_modules"));
  await writeFile(join(folder, "package.json"), '{"type":"module"}');
  const sources = await readdir(join(project, "src/runtime"), { recursive: true });
  for (const file of sources.filter((name) => name.endsWith(".ts"))) {
    const { outputText } = ts.transpileModule(await readFile(join(project, "src/runtime", file), "utf8"), {
      compilerOptions: { module: ts.ModuleKind.ES2022, target: ts.ScriptTarget.ES2022 },
    });
    const path = join(folder, file.replace(/\.ts$/, ".js"));
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, outputText);
  }
  return folder;
}
