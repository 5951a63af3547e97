import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type CompileOptions, compileSource, type Program } from "../../../src/compile.js";
import { portableCapabilities } from "../../../src/ir/kernel/capabilities.js";
import { defaultTuning, type Tuning, tuningValues } from "../../../src/kernels/tuning.js";
import { shapeSession } from "../../../src/runtime/shape.js";

const source = {
  name: "examples/vanilla.phd",
  text: readFileSync(join(import.meta.dirname, "../../../examples/vanilla.phd"), "utf8"),
};
const limits = { maxBufferSize: 2 ** 40, maxStorageBufferBindingSize: 2 ** 40 };

function compiled(options: Partial<CompileOptions> = {}): Program {
  const all = { target: "webgpu", dtype: "f32", capabilities: portableCapabilities, ...options } as const;
  const { program } = compileSource(source, all);
  return program!;
}

describe("a tuning", () => {
  it("that is the default changes no byte of a package", () => {
    const plain = compiled();
    for (const tuning of [{}, defaultTuning, { skinnyRows: 16 }]) {
      const tuned = compiled({ tuning });
      expect(tuned.manifest).toEqual(plain.manifest);
      expect(tuned.kernels.map(({ text }) => text)).toEqual(plain.kernels.map(({ text }) => text));
    }
  });

  const others = (Object.keys(tuningValues) as (keyof Tuning)[]).flatMap((name) =>
    tuningValues[name].filter((value) => value !== defaultTuning[name]).map((value) => [name, value] as const),
  );

  it.each(others)("with %s = %i still compiles within the limits of every device", (name, value) => {
    for (const quantise of [undefined, { bits: 4, group: 32 } as const]) {
      const { manifest } = compiled({ tuning: { [name]: value }, ...(quantise && { quantise }) });
      expect(manifest.requires).toEqual({ features: [], limits: {} });
    }
  });

  it("decides how many columns, rows and keys a workgroup takes", () => {
    const { manifest } = compiled({ tuning: { skinnyOutputs: 8, skinnyRows: 4, keysPerSplit: 64 } });
    const kernels = manifest.kernels.map(({ name }) => name);
    expect(kernels.some((name) => name.endsWith("_m4"))).toBe(true);
    expect(kernels.some((name) => name.endsWith("_m8") || name.endsWith("_m16"))).toBe(false);
    const skinny = manifest.kernels.find(({ name }) => name.endsWith("_m4"))!;
    expect(skinny.doc).toContain("8 columns of 4 rows");
    expect(shapeSession(manifest, { context: 1024 }, limits).symbols["splits"]).toBe(16);
    expect(shapeSession(compiled().manifest, { context: 1024 }, limits).symbols["splits"]).toBe(4);
  });
});
