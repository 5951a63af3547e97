import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { emitReadme } from "../../../src/backends/host/emit-readme.js";
import { parameterMeaning } from "../../../src/backends/host/parameter-docs.js";
import { type CompileOptions, compileSource } from "../../../src/compile.js";

const variants = "examples/variants";
const models = readdirSync(variants)
  .filter((name) => name.endsWith(".phd"))
  .map((name) => `${variants}/${name}`);

function manifestOf(path: string, options: CompileOptions) {
  return compileSource({ name: path, text: readFileSync(path, "utf8") }, options).program!.manifest;
}

describe("the README of a package", () => {
  it.each(models)("says what every parameter of the kernels of %s means", (path) => {
    for (const options of [{ target: "webgpu", dtype: "f32" } as const, { target: "cuda", dtype: "bf16" } as const]) {
      const names = manifestOf(path, options).kernels.flatMap(({ parameters }) => parameters.map(({ name }) => name));
      expect(names.length).toBeGreaterThan(0);
      expect([...new Set(names)].filter((name) => parameterMeaning(name) === undefined)).toEqual([]);
    }
  });

  it("gives every symbol a range, also one without an end", () => {
    const readme = emitReadme(manifestOf("examples/phd-2.phd", { target: "webgpu", dtype: "f32" }));
    expect(readme).toContain("| `batch` | sequences that run side by side | 1 … 1024 |");
    expect(readme).toContain("| `max_rows` | rows that the working buffers hold | from 1 |");
    expect(readme).not.toMatch(/… +\|/);
  });
});
