import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type CompileOptions, compileSource } from "../../../src/compile.js";
import { explain } from "../../../src/explain/explain.js";
import { portableCapabilities } from "../../../src/ir/kernel/capabilities.js";
import { checkManifest } from "../../../src/runtime/check-manifest.js";

const source = {
  name: "examples/vanilla.phd",
  text: readFileSync(join(import.meta.dirname, "../../../examples/vanilla.phd"), "utf8"),
};

function compiled(quantise?: CompileOptions["quantise"]) {
  const options = { target: "webgpu", dtype: "f32", capabilities: portableCapabilities } as const;
  return compileSource(source, { ...options, ...(quantise && { quantise }) }).program!;
}

/** Weights of products: per layer queries 128, keys and values 64 each, output 128, three of 384; and the head. */
const elements = 4 * 128 * (128 + 2 * 64 + 128 + 3 * 384) + 65 * 128;

describe("a decode step of a quantised model", () => {
  it.each([
    [8, 32, 8 + 16 / 32],
    [4, 32, 4 + 16 / 32],
    [4, 128, 4 + 16 / 128],
  ] as const)("reads %i bits and a scale of 16 per %i weights", (bits, group, perWeight) => {
    const plain = explain(compiled(), 100);
    const quantised = explain(compiled({ bits, group }), 100);
    expect(plain.decode_bytes.value - quantised.decode_bytes.value).toBe(elements * (4 - perWeight / 8));
    expect(quantised.decode_flops).toEqual(plain.decode_flops);
    expect(quantised.kv_bytes).toEqual(plain.kv_bytes);
  });
});

describe("a manifest with quantised weights", () => {
  it("is checked like everything that comes from outside", () => {
    const { manifest } = compiled({ bits: 4, group: 32 });
    expect(() => checkManifest(manifest)).not.toThrow();
    for (const [part, value] of [
      ["bits", 5],
      ["group", 24],
      ["part", "zeros"],
    ] as const) {
      const weights = manifest.weights.map((info) =>
        info.quantised ? { ...info, quantised: { ...info.quantised, [part]: value } } : info,
      );
      expect(() => checkManifest({ ...manifest, weights })).toThrow(part);
    }
  });
});
