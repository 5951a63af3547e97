/** What the package offers to other programs, and that its core runs where there is no Node. */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import ts from "typescript";
import { describe, expect, it } from "vitest";
import { compileSource, DiagnosticCollector, formatSource, portableCapabilities } from "../../../src/index.js";

const root = resolve(import.meta.dirname, "../../..");
const { exports } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { exports: Record<string, string> };
const sourceOf = (built: string) => join(root, built.replace("./dist/", "src/").replace(/\.js$/, ".ts"));

/** Files that a module brings in when it is loaded, itself included, and the packages and built-ins it names. */
function reach(entry: string): { files: Set<string>; packages: Set<string> } {
  const files = new Set<string>();
  const packages = new Set<string>();
  const visit = (file: string) => {
    if (files.has(file)) return;
    files.add(file);
    const text = readFileSync(file, "utf8");
    for (const statement of ts.createSourceFile(file, text, ts.ScriptTarget.ESNext).statements) {
      if (!ts.isImportDeclaration(statement) && !ts.isExportDeclaration(statement)) continue;
      const typeOnly = ts.isImportDeclaration(statement) ? statement.importClause?.isTypeOnly : statement.isTypeOnly;
      const target = statement.moduleSpecifier;
      if (typeOnly || target === undefined || !ts.isStringLiteral(target)) continue;
      if (target.text.startsWith(".")) visit(resolve(dirname(file), target.text.replace(/\.js$/, ".ts")));
      else packages.add(target.text);
    }
  };
  visit(entry);
  return { files, packages };
}

describe("the package", () => {
  it.each(Object.entries(exports))("has a source for its entry %s", (_, built) => {
    expect(existsSync(sourceOf(built))).toBe(true);
  });

  it("compiles and formats from its main entry", () => {
    const source = { name: "phd-2.phd", text: readFileSync(join(root, "examples/phd-2.phd"), "utf8") };
    const { program, diagnostics } = compileSource(source, {
      target: "webgpu",
      dtype: "f32",
      capabilities: portableCapabilities,
    });
    expect(diagnostics).toEqual([]);
    expect(program!.kernels.length).toBeGreaterThan(10);
    expect(formatSource(source, new DiagnosticCollector())).toBe(source.text);
  });

  it.each([".", "./ir", "./runtime"])("uses no Node built-in behind %s", (entry) => {
    const { files, packages } = reach(sourceOf(exports[entry]!));
    expect(files.size).toBeGreaterThan(5);
    expect([...packages].filter((name) => name.startsWith("node:"))).toEqual([]);
    expect([...files].filter((file) => /src\/(cli|runtime\/node)\//.test(file))).toEqual([]);
  });

  it("brings no package into the run time, which every compiled model carries", () => {
    expect([...reach(sourceOf(exports["./runtime"]!)).packages]).toEqual([]);
  });
});
