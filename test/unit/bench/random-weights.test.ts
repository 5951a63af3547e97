import { describe, expect, it } from "vitest";
import { randomCheckpoint, randomTensor } from "../../../src/bench/random-weights.js";
import { shapeSource } from "../../../src/bench/shapes.js";
import { compileSource } from "../../../src/compile.js";
import { convertFloats } from "../../../src/runtime/dtype.js";
import { findMisfits, planWeights, storedName } from "../../../src/runtime/packing.js";
import { dequantiseRows } from "../../../src/runtime/quantise.js";

const made = shapeSource("llama-2x64", { variant: "phd", copies: 2, window: 0, chunk: 1 });
if ("wrong" in made) throw new Error("the shape does not import");
const { source } = made;
const { manifest } = compileSource(source, { target: "webgpu", dtype: "f32" }).program!;
const limits = { maxBufferSize: 2 ** 30, maxStorageBufferBindingSize: 2 ** 30 };
const embedding = "model.embed_tokens.weight";

describe("random weights", () => {
  it("are every tensor that the model asks for, in its shape", () => {
    expect(findMisfits(planWeights(manifest, limits), randomCheckpoint(manifest, "F32"))).toEqual([]);
  });

  it.each(["F32", "F16"] as const)("are the same in pieces and as a whole, in %s", async (dtype) => {
    const checkpoint = randomCheckpoint(manifest, dtype);
    for (const tensor of checkpoint.tensors.values()) {
      const whole = await checkpoint.read(tensor);
      expect(whole.byteLength).toBe(tensor.byteLength);
      // An odd element, so that the pieces split a pair.
      const size = tensor.byteLength / tensor.shape.reduce((product, count) => product * count, 1);
      const cut = 7 * size;
      expect(await checkpoint.read(tensor, 0, cut)).toEqual(whole.slice(0, cut));
      expect(await checkpoint.read(tensor, cut)).toEqual(whole.slice(cut));
    }
  });

  it("hold the same values in every type, rounded", async () => {
    const [full, half] = [randomCheckpoint(manifest, "F32"), randomCheckpoint(manifest, "F16")];
    const expected = convertFloats(await full.read(full.tensors.get(embedding)!), "F32", "F16");
    expect(await half.read(half.tensors.get(embedding)!)).toEqual(new Uint8Array(expected));
  });

  it("differ between tensors and between seeds, and neither vanish nor grow", async () => {
    const checkpoint = randomCheckpoint(manifest, "F32");
    const names = [...checkpoint.tensors.keys()].filter((name) => checkpoint.tensors.get(name)!.shape.length === 2);
    const firsts = await Promise.all(
      names.map(async (name) => (await randomTensor(checkpoint, name)).slice(0, 4).join()),
    );
    expect(new Set(firsts).size).toBe(names.length);
    const values = await randomTensor(checkpoint, embedding);
    expect(values).not.toEqual(await randomTensor(randomCheckpoint(manifest, "F32", 1), embedding));
    const square = values.reduce((sum, value) => sum + value * value, 0) / values.length;
    // One over the number of columns.
    expect(square * 64).toBeGreaterThan(0.97);
    expect(square * 64).toBeLessThan(1.03);
    expect(Math.abs(values.reduce((sum, value) => sum + value, 0) / values.length)).toBeLessThan(0.002);
  });

  it.each([4, 8] as const)(
    "are integers of %d bits with their scales where products read those, as large as floats",
    async (bits) => {
      const quantise = { bits, group: 32 } as const;
      const { manifest: stored } = compileSource(source, { target: "webgpu", dtype: "f32", quantise }).program!;
      const checkpoint = randomCheckpoint(stored, "F32");
      expect(findMisfits(planWeights(stored, limits), checkpoint)).toEqual([]);
      const name = "model.layers.0.mlp.down_proj.weight";
      // Nothing is left to be quantised.
      expect(checkpoint.tensors.has(name)).toBe(false);
      const part = async (which: "values" | "scales") => {
        const bytes = await checkpoint.read(checkpoint.tensors.get(storedName(name, { ...quantise, part: which }))!);
        return bytes.slice().buffer as ArrayBuffer;
      };
      const rows = { values: new Uint32Array(await part("values")), scales: new Uint16Array(await part("scales")) };
      const values = dequantiseRows(rows, 128, quantise);
      const square = values.reduce((sum, value) => sum + value * value, 0) / values.length;
      expect(square * 128).toBeGreaterThan(0.9);
      expect(square * 128).toBeLessThan(1.15);
      expect(new Set(values).size).toBeGreaterThan(2 ** bits);
    },
  );
});
