import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { json } from "../../src/backends/host/emit-package.js";
import { compileSource } from "../../src/compile.js";
import { portableCapabilities } from "../../src/ir/kernel/capabilities.js";
import { textsOf } from "../../src/package/texts.js";

const example = new URL("../../examples/olmo2-1.2b-phd-cswa-3-16-32.phd", import.meta.url);
const source = { name: "olmo2.phd", text: readFileSync(example, "utf8") };

function compiled(layers: number) {
  const options = { set: { layers }, target: "webgpu", dtype: "f32", capabilities: portableCapabilities } as const;
  const { program } = compileSource(source, options);
  return { kernels: textsOf(program!), manifest: json(program!.manifest) };
}

it("writes the same kernels for a model four times as deep, and a manifest that grows by a few characters per layer", () => {
  const [shallow, deep] = [compiled(16), compiled(64)];
  expect(deep.kernels).toEqual(shallow.kernels);
  expect(deep.manifest.length - shallow.manifest.length).toBeLessThan((64 - 16) * 25);
});
