import { describe, expect, it } from "vitest";
import { AccessCounts, runKernel } from "../../../src/interpret/kernel/run-kernel.js";
import { addBias, rmsNorm } from "./example-kernels.js";

const sequence = (length: number) => Float32Array.from({ length }, (_, i) => Math.sin(i * 1.7) * 3);

describe("the kernel interpreter", () => {
  it("adds a bias to every row and leaves what lies behind the last row alone", () => {
    const x = sequence(70);
    const bias = sequence(7);
    const expected = x.map((value, i) => (i < 63 ? value + bias[i % 7]! : value));
    runKernel(addBias(), { buffers: { x, bias }, params: { rows: 9, width: 7 }, workgroups: [1, 1, 1] });
    expect(x).toEqual(expected);
  });

  for (const subgroupSize of [undefined, 4, 32]) {
    it(`norms rows ${subgroupSize ? `with subgroups of ${subgroupSize}` : "through workgroup memory"}`, () => {
      const [rows, width, epsilon] = [3, 280, 1e-5];
      const x = sequence(rows * width);
      const weight = sequence(width);
      const y = new Float32Array(rows * width);
      const subgroups = subgroupSize === undefined ? undefined : { minSize: 4, maxSize: 128 };
      const count = new AccessCounts();
      runKernel(rmsNorm({ subgroups }), {
        buffers: { x, weight, y },
        params: { width, epsilon },
        workgroups: [rows, 1, 1],
        subgroupSize,
        count,
        detectRaces: true,
      });
      for (let row = 0; row < rows; row++) {
        const values = x.subarray(row * width, (row + 1) * width);
        const mean = values.reduce((sum, value) => sum + value * value, 0) / width;
        values.forEach((value, column) => {
          // f32 sums of 280 squares: a few units in the last place.
          expect(y[row * width + column]).toBeCloseTo((value / Math.sqrt(mean + epsilon)) * weight[column]!, 5);
        });
      }
      expect(count.of("weight").loadedBytes).toBe(rows * width * 4);
      expect(count.of("y").storedBytes).toBe(rows * width * 4);
      expect(new Set(count.of("x").loadsOfElement)).toEqual(new Set([2]));
    });
  }
});
