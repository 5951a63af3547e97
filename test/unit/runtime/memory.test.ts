import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { compileSource } from "../../../src/compile.js";
import { portableCapabilities } from "../../../src/ir/kernel/capabilities.js";
import { checkManifest } from "../../../src/runtime/check-manifest.js";
import { evaluate } from "../../../src/runtime/expr.js";
import { planWeights, weightBytes } from "../../../src/runtime/packing.js";
import { type BufferPurpose, shapeSession } from "../../../src/runtime/shape.js";

const examples = join(import.meta.dirname, "../../../examples");
const unlimited = { maxBufferSize: 2 ** 50, maxStorageBufferBindingSize: 2 ** 50 };
/** Every buffer is rounded up to a multiple of 16 bytes. */
const padding = 16;

describe.each(readdirSync(examples).filter((name) => name.endsWith(".phd")))("the memory formulas of %s", (file) => {
  const source = { name: file, text: readFileSync(join(examples, file), "utf8") };
  const { program } = compileSource(source, { target: "webgpu", dtype: "f32", capabilities: portableCapabilities });
  const manifest = checkManifest(program!.manifest);

  it.each([
    { batch: 1, context: 50, slice: 16 },
    { batch: 3, context: 1000, slice: 512 },
  ])("give what a session of %o allocates, but for padding", (options) => {
    const shape = shapeSession(manifest, options, unlimited);
    const allocated = (...purposes: BufferPurpose[]) => {
      const buffers = shape.buffers.filter(({ purpose }) => purposes.includes(purpose));
      return { bytes: buffers.reduce((sum, { bytes }) => sum + bytes, 0), slack: buffers.length * padding };
    };
    const weights = planWeights(manifest, unlimited);
    const parts = [
      ["weights", { bytes: weightBytes(weights), slack: weights.length * padding }],
      ["caches", allocated("cache")],
      ["working", allocated("scratch", "working", "table")],
    ] as const;
    for (const [name, { bytes, slack }] of parts) {
      const formula = evaluate(manifest.memory[name], shape.symbols);
      expect(bytes, name).toBeGreaterThanOrEqual(formula);
      expect(bytes, name).toBeLessThan(formula + slack + 1);
    }
  });
});
