/**
 * How many bytes of inputs the workgroups of a product load for each byte of weights, counted by the kernel interpreter for a workgroup of each
 * product of the 550M. Weights come from memory and inputs from caches, which give a few times as many bytes in the same time and not more.
 *
 * `npx vitest run test/laws/inputs-per-weight.test.ts -u` writes test/cases/work/inputs-per-weight.txt anew.
 */
import { describe, expect, it } from "vitest";
import { AccessCounts, type BufferData, runKernel } from "../../src/interpret/kernel/run-kernel.js";
import { portableCapabilities } from "../../src/ir/kernel/capabilities.js";
import { skinnyLinear } from "../../src/kernels/linear/skinny.js";
import { type SkinnyShape, skinnyColumns, skinnyDivision } from "../../src/kernels/linear/skinny-options.js";
import { scalesOfRow, wordsOfRow } from "../../src/runtime/quantise.js";
import { plain, swiglu } from "../numeric/linear-reference.js";

const products = {
  "queries, keys, values": { inputs: 1536, outputs: 2304 },
  output: { inputs: 1536, outputs: 1536 },
  "gate and up": { inputs: 1536, outputs: 4096, matrices: 2 },
  down: { inputs: 4096, outputs: 1536 },
  head: { inputs: 1536, outputs: 100278, norm: true },
};
type Product = { inputs: number; outputs: number; matrices?: number; norm?: boolean };

const types = {
  f32: { element: "f32" },
  f16: { element: "f16" },
  int8: { element: "f32", quantised: { bits: 8, group: 32 } },
  int4: { element: "f32", quantised: { bits: 4, group: 32 } },
} as const;

function shapeOf(product: Product, type: keyof typeof types, rows: SkinnyShape["rows"]): SkinnyShape {
  const { inputs, outputs, matrices = 1, norm } = product;
  return {
    ...{ inputs, outputs, matrices, rows, bias: false, operands: [], outputRows: "table" },
    ...types[type],
    ...(norm && { norm: { epsilon: 1e-5, weight: true } }),
    epilogue: matrices === 2 ? swiglu : plain,
    capabilities: { ...portableCapabilities, f16: true },
  };
}

/** Runs the first workgroup, and gives bytes of inputs over bytes of weights and scales. */
function inputsPerWeight(shape: SkinnyShape): number {
  const { inputs, outputs, matrices, rows, element, quantised } = shape;
  const { columns } = skinnyDivision(shape);
  const kernel = skinnyLinear({ ...shape, wholeBlocks: outputs % skinnyColumns(shape) === 0 });
  // The second matrix begins where the first has ended; what lies between is not read.
  const weightRows = (matrices - 1) * outputs + columns;
  const weights: Record<string, BufferData> = quantised
    ? {
        weight: new Uint32Array(weightRows * wordsOfRow(inputs, quantised.bits)),
        weight_scales: new Uint32Array(Math.ceil((weightRows * scalesOfRow(inputs, quantised.group)) / 2)),
      }
    : { weight: element === "f16" ? halves(kernel, weightRows * inputs) : new Float32Array(weightRows * inputs) };
  const count = new AccessCounts();
  runKernel(kernel, {
    buffers: {
      ...{ input: new Float32Array(rows * inputs), output: new Float32Array(rows * outputs), ...weights },
      ...(shape.norm && { norm_weight: new Float32Array(inputs) }),
    },
    params: { row_base: 0, row_count: rows, column_base: 0, column_count: columns, part_base: 0 },
    workgroups: [1, 1, 1],
    count,
  });
  expect(count.of("weight").loadedBytes).toBe(matrices * columns * bytesOfRow(shape));
  // Scales share words, and neighbours load the same one: each counts once.
  const scales = quantised ? 2 * scalesOfRow(inputs, quantised.group) : 0;
  return count.of("input").loadedBytes / (matrices * columns * (bytesOfRow(shape) + scales));
}

const halves = (kernel: ReturnType<typeof skinnyLinear>, length: number) =>
  kernel.buffers.some(({ name, type }) => name === "weight" && type === "vec4<u32>")
    ? new Uint32Array(length / 2)
    : new Uint16Array(length);

function bytesOfRow({ inputs, element, quantised }: SkinnyShape): number {
  return quantised ? 4 * wordsOfRow(inputs, quantised.bits) : inputs * (element === "f16" ? 2 : 4);
}

const counted = [1, 4, 8, 16] as const;

describe("a product of few rows", () => {
  it("loads no more inputs for each of weights with 16 rows than with 4, and keeps enough workgroups", async () => {
    const lines = Object.entries(products).flatMap(([name, product]) =>
      (Object.keys(types) as (keyof typeof types)[]).map((type) => {
        const shapes = counted.map((rows) => shapeOf(product, type, rows));
        const workgroups = shapes.map((shape) => Math.ceil(product.outputs / skinnyDivision(shape).columns));
        const ratios = shapes.map(inputsPerWeight);
        const about = `${name} ${type}`;
        const [, four, eight, sixteen] = ratios as [number, number, number, number];
        expect(sixteen, about).toBeLessThanOrEqual(four);
        expect(eight, about).toBeLessThan(sixteen);
        if (!type.startsWith("int")) expect(sixteen, about).toBeLessThanOrEqual(2);
        expect(Math.min(...workgroups), about).toBeGreaterThanOrEqual(96);
        const cells = ratios.map((ratio, index) => `${ratio.toFixed(2)} of ${workgroups[index]}`.padStart(15));
        return `${name.padEnd(22)} ${type.padEnd(5)}${cells.join("")}\n`;
      }),
    );
    const head = `${"".padEnd(28)}${counted.map((rows) => `M = ${rows}`.padStart(15)).join("")}\n`;
    const about = "Bytes of inputs for each byte of weights that a workgroup loads, of so many workgroups.\n\n";
    await expect(about + head + lines.join("")).toMatchFileSnapshot("../cases/work/inputs-per-weight.txt");
  });
});
