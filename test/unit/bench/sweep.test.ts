import { describe, expect, it } from "vitest";
import { shapeNames } from "../../../src/bench/shape-names.js";
import { shapeSource } from "../../../src/bench/shapes.js";
import { describePoint, pointsOf, type Sweep } from "../../../src/bench/sweep.js";
import { compileSource } from "../../../src/compile.js";

const sweep: Sweep = {
  models: ["llama-2x64"],
  variant: "phd-cswa",
  copies: [1, 3],
  window: [8, 16],
  chunk: [32],
  prompt: [64],
  batch: [1],
  dtype: ["f32"],
  quantise: ["none"],
  group: 32,
  device: ["webgpu"],
};

describe("the points of a sweep", () => {
  it("measure the model without repetition once, whatever windows there are", () => {
    expect(pointsOf(sweep).map(describePoint)).toEqual([
      "llama-2x64, vanilla K = 1, n = 64, batch 1, f32 on webgpu",
      "llama-2x64, phd-cswa K = 3 W = 8 C = 32, n = 64, batch 1, f32 on webgpu",
      "llama-2x64, phd-cswa K = 3 W = 16 C = 32, n = 64, batch 1, f32 on webgpu",
    ]);
  });

  it("leave to a file what it states itself", () => {
    const [point] = pointsOf({ ...sweep, variant: "own", copies: [3], window: [undefined], chunk: [undefined] });
    expect(describePoint(point!)).toBe("llama-2x64, K = 3, n = 64, batch 1, f32 on webgpu");
  });

  it("are every combination of what is asked for", () => {
    const all = pointsOf({ ...sweep, copies: [2, 3], prompt: [1, 2, 3], batch: [1, 2], dtype: ["f32", "f16"] });
    expect(all).toHaveLength(2 * 2 * 3 * 2 * 2);
  });
});

describe("named shapes", () => {
  it.each(shapeNames)("%s compiles with every relation of the library", (name) => {
    for (const variant of ["vanilla", "naive", "phd", "phd-swa", "phd-cswa"] as const) {
      const made = shapeSource(name, { variant, copies: variant === "vanilla" ? 1 : 2, window: 16, chunk: 32 });
      if ("wrong" in made) throw new Error(JSON.stringify(made.wrong));
      const { program, diagnostics } = compileSource(made.source, { target: "webgpu", dtype: "f32" });
      expect(diagnostics).toEqual([]);
      expect(program!.manifest.model.copies).toBe(variant === "vanilla" ? 1 : 2);
    }
  });

  it.each([
    ["olmo2-550m", 550e6],
    ["olmo2-1.2b", 1.18e9],
  ])("%s has as many parameters as the paper's model", (name, parameters) => {
    const made = shapeSource(name, { variant: "vanilla", copies: 1, window: 0, chunk: 1 });
    if ("wrong" in made) throw new Error("it does not import");
    const { manifest } = compileSource(made.source, { target: "webgpu", dtype: "f32" }).program!;
    const { layers } = manifest.model;
    const elements = manifest.weights
      .map(({ perLayer, rows, columns }) => rows * columns * (perLayer ? layers : 1))
      .reduce((total, count) => total + count, 0);
    expect(elements / parameters).toBeGreaterThan(0.98);
    expect(elements / parameters).toBeLessThan(1.02);
  });
});
