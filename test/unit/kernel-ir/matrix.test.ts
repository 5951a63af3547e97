import { describe, expect, it } from "vitest";
import { AccessCounts, runKernel } from "../../../src/interpret/kernel/run-kernel.js";
import { roundToBfloat } from "../../../src/ir/kernel/half.js";
import { parseKernel } from "../../../src/ir/kernel/parse.js";
import { printKernel } from "../../../src/ir/kernel/print.js";
import { bf16Product, packFragments, packPairs, stagedProduct } from "./matrix-kernels.js";

const values = (length: number, seed: number) =>
  Float32Array.from({ length }, (_, i) => roundToBfloat(Math.sin(i * 1.3 + seed)));

function product(weights: Float32Array, x: Float32Array, outputs: number, depth: number): number[] {
  return Array.from({ length: 8 * outputs }, (_, i) => {
    const [row, output] = [Math.floor(i / outputs), i % outputs];
    let sum = 0;
    for (let k = 0; k < depth; k++) sum += weights[output * depth + k]! * x[row * depth + k]!;
    return sum;
  });
}

function expectClose(found: Float32Array, expected: readonly number[]): void {
  // The operands are bf16 values already; only the f32 sums round.
  found.forEach((value, i) => {
    expect(Math.abs(value - expected[i]!)).toBeLessThan(1e-5);
  });
}

describe("matrix fragments", () => {
  it("multiply weights in fragment order with eight rows, each weight loaded once", () => {
    const [outputs, depth] = [128, 48];
    const [weights, x] = [values(outputs * depth, 1), values(8 * depth, 2)];
    const y = new Float32Array(8 * outputs);
    const count = new AccessCounts();
    const buffers = { weights: packFragments(weights, outputs, depth), x: packPairs(x), y };
    runKernel(bf16Product(), { buffers, params: { depth, outputs }, workgroups: [2, 1, 1], count, detectRaces: true });
    expectClose(y, product(weights, x, outputs, depth));
    expect(new Set(count.of("weights").loadsOfElement)).toEqual(new Set([1]));
  });

  it("take operands from workgroup memory that asynchronous copies fill", () => {
    const depth = 80;
    const [weights, x] = [values(16 * depth, 3), values(8 * depth, 4)];
    const y = new Float32Array(8 * 16);
    const buffers = { weights: packPairs(weights), x: packPairs(x), y };
    runKernel(stagedProduct(), { buffers, params: { depth }, workgroups: [1, 1, 1], detectRaces: true });
    expectClose(y, product(weights, x, 16, depth));
  });

  it("show garbage where a copy is used before it is waited for", () => {
    const kernel = stagedProduct();
    const impatient = parseKernel(printKernel(kernel).replace("async_wait 1", "async_wait 2"));
    const [weights, x] = [values(16 * 32, 3), values(8 * 32, 4)];
    const y = new Float32Array(8 * 16);
    const run = { buffers: { weights: packPairs(weights), x: packPairs(x), y }, params: { depth: 32 } };
    runKernel(impatient, { ...run, workgroups: [1, 1, 1] });
    expect(product(weights, x, 16, 32).some((value, i) => Math.abs(value - y[i]!) > 1)).toBe(true);
  });

  it.each([bf16Product(), stagedProduct()])("keep their text: $name", (kernel) => {
    expect(parseKernel(printKernel(kernel))).toEqual(kernel);
  });

  it("need subgroups of 32", () => {
    const buffers = { weights: new Uint32Array(2048), x: new Uint32Array(64), y: new Float32Array(512) };
    const run = { buffers, params: { depth: 16, outputs: 64 }, workgroups: [1, 1, 1] as const, subgroupSize: 8 };
    expect(() => runKernel(bf16Product(), run)).toThrow("matrix fragments need subgroups of 32, not 8");
  });
});
