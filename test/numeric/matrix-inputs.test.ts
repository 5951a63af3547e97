/**
 * Where matrix units find their inputs: splits of attention that are merged on the way, norms that were left undone, and a vocabulary
 * table in tiles.
 */
import { describe, expect, it } from "vitest";
import { cudaCapabilities } from "../../src/backends/cuda/capabilities.js";
import { AccessCounts, runKernel } from "../../src/interpret/kernel/run-kernel.js";
import { bfloatToBits, roundToBfloat } from "../../src/ir/kernel/half.js";
import { embed, embedVector } from "../../src/kernels/elementwise/embed.js";
import {
  type MatrixSkinnyOptions,
  matrixSkinnyColumns,
  matrixSkinnyLinear,
} from "../../src/kernels/linear/matrix-skinny.js";
import { bytesOf } from "../../src/runtime/dtype.js";
import { fragmentLength, scatterFragments } from "../../src/runtime/fragments.js";
import { largestDifference, matrixRow, randomFloats, rmsNorm } from "./linear-reference.js";

function inFragments(values: Float32Array, rows: number, columns: number): Uint32Array {
  const packed = new Uint8Array(2 * fragmentLength(rows) * fragmentLength(columns));
  scatterFragments({ columns }, packed, bytesOf(Uint16Array.from(values, bfloatToBits)), 0);
  return new Uint32Array(packed.buffer);
}

describe("a product on matrix units that merges the splits of attention", () => {
  it.each([
    [4, 6],
    [2, 5],
    [3, 8],
    [4, 32],
  ] as const)("gives rows of %i heads of width %i what merging first would give", (heads, width) => {
    const [rows, outputs, splits, inputs] = [3, 21, 3, heads * width];
    const values = randomFloats(7, rows * inputs * splits);
    const stats = randomFloats(8, rows * heads * splits * 2, 3).map((value, i) =>
      i % 2 === 0 ? value : 1 + value ** 2,
    );
    const weights = randomFloats(2, outputs * inputs);
    const output = new Float32Array(rows * outputs);
    const options: MatrixSkinnyOptions = {
      ...{ inputs, outputs, matrices: 1, element: "bf16", bias: false, operands: [], outputRows: "table" },
      ...{ epilogue: { kind: "accumulator", index: 0 }, merge: { heads, kvHeads: 1, width }, rows: 8 },
      capabilities: cudaCapabilities,
    };
    runKernel(matrixSkinnyLinear(options), {
      buffers: {
        ...{ partial_values: values, partial_stats: stats, output },
        weight: inFragments(weights, outputs, inputs),
      },
      params: { row_base: 0, row_count: rows, column_base: 0, column_count: outputs, part_base: 0, splits },
      workgroups: [Math.ceil(outputs / matrixSkinnyColumns(options)), 1, 1],
      detectRaces: true,
    });
    const merged = (row: number, i: number): number => {
      const first = (row * heads + Math.floor(i / width)) * splits;
      const parts = Array.from({ length: splits }, (_, split) => {
        const [peak, sum] = [stats[2 * (first + split)]!, stats[2 * (first + split) + 1]!];
        return { weight: 2 ** peak, sum, value: values[(first + split) * width + (i % width)]! };
      });
      const total = parts.reduce((all, { weight, sum }) => all + weight * sum, 0);
      return parts.reduce((all, { weight, value }) => all + weight * value, 0) / total;
    };
    const read = weights.map(roundToBfloat);
    const expected = Array.from(output, (_, at) => {
      const row = Math.floor(at / outputs);
      const x = Array.from({ length: inputs }, (_, i) => roundToBfloat(merged(row, i)));
      return matrixRow(x, read, at % outputs);
    });
    // A merged value that lies between two halves may be rounded to either: one unit in the last of 8 bits, in a few of the sums' terms.
    expect(largestDifference(output, expected)).toBeLessThan(2 ** -8);
  });
});

describe("a product on matrix units that finishes a norm left undone", () => {
  interface Undone {
    readonly inputs: number;
    readonly outputs: number;
    readonly rows: number;
    /** Rows of the kernel's block. */
    readonly block: 8 | 16 | 32;
    /** Whether the product norms the finished rows as well. */
    readonly norm?: boolean;
    readonly gain?: boolean;
  }
  const [rowBase, epsilon] = [2, 1e-5];

  function check({ inputs, outputs, rows, block, norm = false, gain = true }: Undone): AccessCounts {
    const tableRows = rowBase + rows + 1;
    const [branch, before] = [randomFloats(1, tableRows * inputs), randomFloats(2, tableRows * inputs)];
    const [branchGain, normWeight] = [randomFloats(3, inputs), randomFloats(4, inputs)];
    const weights = randomFloats(5, outputs * inputs);
    const stream = new Float32Array(tableRows * inputs).fill(7);
    const output = new Float32Array(tableRows * outputs).fill(7);
    const options: MatrixSkinnyOptions = {
      ...{ inputs, outputs, matrices: 1, element: "bf16", bias: false, operands: [], outputRows: "table" },
      epilogue: { kind: "accumulator", index: 0 },
      deferred: {
        ...{ epsilon, weight: gain },
        expression: {
          ...{ kind: "binary", function: "add" },
          ...{ left: { kind: "operand", name: "before" }, right: { kind: "accumulator", index: 0 } },
        },
        operands: [{ name: "before", of: "element" }],
      },
      ...(norm && { norm: { epsilon, weight: true } }),
      ...{ rows: block, capabilities: cudaCapabilities },
    };
    const count = new AccessCounts();
    runKernel(matrixSkinnyLinear(options), {
      buffers: {
        ...{ input: branch, before, stream, output },
        ...(gain && { branch_gain: branchGain }),
        ...(norm && { norm_weight: normWeight }),
        weight: inFragments(weights, outputs, inputs),
      },
      params: { row_base: rowBase, row_count: rows, column_base: 0, column_count: outputs, part_base: 0 },
      workgroups: [Math.ceil(outputs / matrixSkinnyColumns(options)), Math.ceil(rows / block), 1],
      ...{ count, detectRaces: true },
    });
    const [expectedStream, expected] = [stream.slice().fill(7), output.slice().fill(7)];
    const read = weights.map(roundToBfloat);
    for (let row = rowBase; row < rowBase + rows; row++) {
      const at = row * inputs;
      const normed = rmsNorm([...branch.subarray(at, at + inputs)], epsilon, gain ? branchGain : undefined);
      const finished = normed.map((value, i) => value + before[at + i]!);
      expectedStream.set(finished, at);
      const factor = norm ? rmsNorm(finished, epsilon)[0]! / finished[0]! : 1;
      const x = finished.map((value, i) => roundToBfloat(norm ? value * normWeight[i]! : value) * factor);
      for (let column = 0; column < outputs; column++) expected[row * outputs + column] = matrixRow(x, read, column);
    }
    expect(largestDifference(stream, expectedStream)).toBeLessThan(1e-5);
    // A finished value that lies between two halves may be rounded to either, as above.
    expect(largestDifference(output, expected)).toBeLessThan(2 ** -7);
    return count;
  }

  it.each([8, 16, 32] as const)("multiplies up to %i rows of any width and writes each of them once", (block) => {
    for (const inputs of [1, 6, 16, 35, 96, 300]) {
      for (const outputs of [1, 37]) {
        const count = check({ inputs, outputs, rows: block - 3, block });
        expect(count.of("stream").storedBytes).toBe(4 * (block - 3) * inputs);
        expect(new Set(count.of("weight").loadsOfElement)).toEqual(new Set([1]));
      }
    }
  });

  it("norms the finished rows again where the product does, and does without a gain", () => {
    for (const inputs of [36, 35]) {
      for (const norm of [false, true]) {
        for (const gain of [false, true]) check({ inputs, outputs: 21, rows: 3, block: 8, norm, gain });
      }
    }
  });

  it("shares the rows among its workgroups, however few or many there are", () => {
    for (const outputs of [16, 16 * 5, 16 * 40]) check({ inputs: 160, outputs, rows: 2, block: 8 });
  });
});

describe("a vocabulary table in tiles", () => {
  it.each([32, 20, 7])("gives every row of the table its %i components", (width) => {
    const vocab = 37;
    const ids = [0, 36, 15, 16, 8, 7, 23];
    const table = randomFloats(3, vocab * width);
    const rowsAt = 2;
    const control = new Int32Array(rowsAt + 4 * ids.length);
    ids.forEach((id, row) => {
      control.set([0, row, 1, id], rowsAt + 4 * row);
    });
    const options = { width, element: "bf16", fragments: true } as const;
    const output = new Float32Array(ids.length * width);
    runKernel(embed(options), {
      buffers: { control, weight: inFragments(table, vocab, width), output },
      params: { row_base: 0, row_count: ids.length, rows_at: rowsAt, part_base: 0, part_rows: vocab },
      workgroups: [Math.ceil((ids.length * width) / embedVector(options) / 64), 1, 1],
      detectRaces: true,
    });
    const expected = ids.flatMap((id) => [...table.subarray(id * width, (id + 1) * width)].map(roundToBfloat));
    expect([...output]).toEqual(expected);
  });
});
