import { describe, expect, it } from "vitest";
import { AccessCounts, runKernel } from "../../src/interpret/kernel/run-kernel.js";
import type { Capabilities } from "../../src/ir/kernel/capabilities.js";
import type { Kernel } from "../../src/ir/kernel/kernel.js";
import type { Operand } from "../../src/kernels/elementwise/element-expression.js";
import type { LinearOptions } from "../../src/kernels/linear/options.js";
import { skinnyLinear } from "../../src/kernels/linear/skinny.js";
import { skinnyColumns, skinnyDivision } from "../../src/kernels/linear/skinny-options.js";
import { linearTile, tiledLinear } from "../../src/kernels/linear/tiled.js";
import { defaultTuning, type Tuning, tuningValues } from "../../src/kernels/tuning.js";
import {
  finished,
  largestDifference,
  matrixRow,
  plain,
  randomFloats,
  residual,
  rmsNorm,
  stored,
  swiglu,
  withoutSubgroups,
  withSubgroups,
} from "./linear-reference.js";

// Sums of at most 100 products of values below 1, in f32: rounding stays far below this.
const tolerance = 2e-5;

interface Case {
  readonly inputs: number;
  readonly outputs: number;
  readonly rows: number;
  readonly norm?: boolean;
  readonly bias?: boolean;
  readonly mode?: "plain" | "residual" | "pair";
  readonly element?: "f32" | "f16";
  readonly outputRows?: "table" | "packed";
  /** Columns to compute; all unless given. */
  readonly columns?: readonly [base: number, count: number];
  /** First weight row that is bound. */
  readonly partBase?: number;
  readonly capabilities?: Capabilities;
  readonly subgroupSize?: number;
  readonly tuning?: Tuning;
}

/** Lets small products of 8 and 16 rows share their inputs among groups, as only wide ones do. */
const sharing = (leastWorkgroups: number): Tuning => ({ ...defaultTuning, leastWorkgroups });

const rowBase = 3;

function optionsOf(test: Case): LinearOptions {
  const { inputs, outputs, norm = false, bias = false, mode = "plain", element = "f32", outputRows = "table" } = test;
  const operands: Operand[] = mode === "residual" ? [{ name: "output", of: "element" }] : [];
  return {
    ...{ inputs, outputs, element, bias, operands, outputRows },
    matrices: mode === "pair" ? 2 : 1,
    ...(norm && { norm: { epsilon: 1e-5, weight: true } }),
    epilogue: mode === "pair" ? swiglu : mode === "residual" ? residual : plain,
    capabilities: test.capabilities ?? withoutSubgroups,
    ...(test.tuning && { tuning: test.tuning }),
  };
}

/** Runs a kernel and the same in float64; compares every element, those outside the range included. */
function check(test: Case, kernel: Kernel, workgroups: (columns: number) => [number, number, number]) {
  const { inputs, outputs, rows, norm, bias, mode = "plain", element = "f32", partBase = 0 } = test;
  const [columnBase, columnCount] = test.columns ?? [0, outputs];
  const matrices = mode === "pair" ? 2 : 1;
  const input = randomFloats(1, (rowBase + rows) * inputs);
  const weights = stored(randomFloats(2, matrices * outputs * inputs), element);
  const normWeight = randomFloats(3, inputs);
  const biases = randomFloats(4, matrices * outputs);
  const before = randomFloats(5, (rowBase + rows) * outputs);
  const output = before.slice();

  const count = new AccessCounts();
  const part = test.columns ? weights.data.slice(partBase * inputs, (columnBase + columnCount) * inputs) : weights.data;
  // Kernels that load eight halves at a time declare them as words.
  const asWords =
    element === "f16" && kernel.buffers.some(({ name, type }) => name === "weight" && type === "vec4<u32>");
  const weight = asWords ? new Uint32Array(part.buffer) : part;
  runKernel(kernel, {
    buffers: { input, weight, ...(norm && { norm_weight: normWeight }), ...(bias && { bias: biases }), output },
    params: {
      ...{ row_base: rowBase, row_count: rows, column_base: columnBase, column_count: columnCount },
      part_base: partBase,
    },
    workgroups: workgroups(columnCount),
    count,
    detectRaces: true,
    ...(test.subgroupSize !== undefined && { subgroupSize: test.subgroupSize }),
  });

  const expected = Float64Array.from(before);
  for (let row = 0; row < rows; row++) {
    const raw = [...input.subarray((rowBase + row) * inputs, (rowBase + row + 1) * inputs)];
    const x = norm ? rmsNorm(raw, 1e-5, normWeight) : raw;
    for (let column = columnBase; column < columnBase + columnCount; column++) {
      const [first, second] = Array.from({ length: matrices }, (_, matrix) => {
        const at = matrix * outputs + column;
        return matrixRow(x, weights.read, at) + (bias ? biases[at]! : 0);
      });
      const place = (test.outputRows === "packed" ? row : rowBase + row) * outputs + column;
      expected[place] = finished(mode, first!, second!, before[place]!);
    }
  }
  expect(largestDifference(output, expected)).toBeLessThan(tolerance);
  return { count, weight };
}

function checkSkinny(test: Case, rows: 1 | 2 | 4 | 8 | 16) {
  const plain = optionsOf(test);
  const columns = skinnyColumns(plain);
  const wholeBlocks = [test.outputs, ...(test.columns ?? [])].every((edge) => edge % columns === 0);
  const options = { ...plain, rows, wholeBlocks };
  const division = skinnyDivision(options);
  const workgroups = (count: number) => Math.ceil(count / division.columns);
  const checked = check(test, skinnyLinear(options), (count) => [workgroups(count), Math.ceil(test.rows / rows), 1]);
  return { ...checked, ...division };
}

function checkTiled(test: Case, tuning = defaultTuning) {
  const options = { ...optionsOf(test), tuning };
  const { rows, columns } = linearTile(options)!;
  return check(test, tiledLinear(options), (count) => [Math.ceil(count / columns), Math.ceil(test.rows / rows), 1]);
}

const devices = [
  ["workgroup memory", withoutSubgroups],
  ["subgroups", withSubgroups],
] as const;

describe.each(devices)("a skinny product summed through %s", (_, capabilities) => {
  for (const rows of [1, 2, 4, 8, 16] as const) {
    it(`multiplies ${rows} rows of any width`, () => {
      for (const inputs of [1, 6, 24, 67, 100]) {
        for (const outputs of [1, 5, 32]) checkSkinny({ inputs, outputs, rows, capabilities }, rows);
      }
    });

    it(`fuses norm, bias, residual and gating for ${rows} rows`, () => {
      for (const mode of ["plain", "residual", "pair"] as const) {
        for (const bias of [false, true]) {
          const norm = true;
          checkSkinny({ inputs: 36, outputs: 10, rows, capabilities, mode, norm, bias }, rows);
        }
      }
    });
  }

  it("reads f16 weights", () => {
    for (const inputs of [3, 10, 12, 40]) {
      for (const rows of [1, 4, 16] as const) {
        checkSkinny({ inputs, outputs: 9, rows, capabilities, element: "f16", mode: "pair", norm: true }, rows);
      }
    }
  });

  it("takes wide rows with more than one vector for each invocation", () => {
    checkSkinny({ inputs: 1100, outputs: 6, rows: 2, capabilities, norm: true }, 2);
  });
});

describe("a skinny product", () => {
  it("sums through subgroups of every size, also larger than its workgroup", () => {
    for (const subgroupSize of [4, 8, 16, 64]) {
      for (const rows of [1, 4] as const) {
        checkSkinny({ inputs: 300, outputs: 6, rows, norm: true, capabilities: withSubgroups, subgroupSize }, rows);
      }
    }
  });

  it("reads every weight exactly once for up to 16 rows, odd sizes included", () => {
    for (const rows of [1, 2, 3, 5, 8, 13, 16]) {
      const kernelRows = ([1, 2, 4, 8, 16] as const).find((most) => most >= rows)!;
      for (const outputs of [1, 7, 12]) {
        for (const mode of ["plain", "pair"] as const) {
          for (const [inputs, element] of [
            [20, "f32"],
            [24, "f16"],
          ] as const) {
            const { count } = checkSkinny({ inputs, outputs, rows, mode, element, norm: true }, kernelRows);
            expect(new Set(count.of("weight").loadsOfElement)).toEqual(new Set([1]));
          }
        }
      }
    }
  });

  it("takes more rows than one block has", () => {
    checkSkinny({ inputs: 12, outputs: 5, rows: 37, mode: "residual" }, 16);
  });

  it("leaves columns outside its range alone, and reads a part of a split matrix", () => {
    checkSkinny({ inputs: 12, outputs: 21, rows: 3, bias: true, columns: [7, 9], partBase: 5 }, 4);
  });

  it("packs the rows of a range to the front for the logits", () => {
    checkSkinny({ inputs: 12, outputs: 11, rows: 2, outputRows: "packed" }, 2);
  });
});

describe.each([8, 16] as const)("a skinny product of %i rows whose groups share their inputs", (rows) => {
  it.each([
    [8, 32],
    [4, 64],
    [2, 64],
  ] as const)("in %i groups multiplies rows of any width", (groups, lanes) => {
    const check = (inputs: number, outputs: number, count: number) => {
      const tuning = sharing(Math.floor(outputs / (4 * groups)));
      return checkSkinny({ inputs, outputs, rows: count, tuning }, rows);
    };
    for (const [inputs, outputs, count] of [
      [4, 4 * groups, rows - 3],
      [36, 8 * groups + 3, rows],
      [100, 4 * groups + 3, rows + 5],
      [1100, 4 * groups + 3, rows],
    ] as const) {
      expect(check(inputs, outputs, count)).toMatchObject({ groups, columns: 4 * groups });
    }
    expect(check(512, 4 * groups, rows).lanes).toBe(lanes);
  });

  it("fuses norm, bias, residual and gating, with weights of any kind", () => {
    for (const element of ["f32", "f16"] as const) {
      for (const mode of ["plain", "residual", "pair"] as const) {
        for (const inputs of [36, 88]) {
          const norm = true;
          const bias = mode !== "residual";
          const { groups } = checkSkinny(
            { inputs, outputs: 37, rows, mode, norm, bias, element, tuning: sharing(1) },
            rows,
          );
          expect(groups).toBe(8);
        }
      }
    }
  });

  it("takes any number of outputs for an invocation", () => {
    for (const skinnyOutputs of [1, 2, 8]) {
      const tuning = { ...sharing(1), skinnyOutputs };
      checkSkinny({ inputs: 72, outputs: 66, rows, mode: "pair", norm: true, tuning }, rows);
      checkSkinny({ inputs: 72, outputs: 66, rows, bias: true, tuning }, rows);
    }
  });

  it("keeps within the workgroup memory of every device, however many outputs it is tuned to", () => {
    for (const skinnyOutputs of tuningValues.skinnyOutputs) {
      const tuning = { ...sharing(1), skinnyOutputs };
      const deferred = { epsilon: 1e-5, weight: true, expression: plain, operands: [] };
      const shape = { ...optionsOf({ inputs: 1536, outputs: 640, rows, norm: true, tuning }), deferred };
      const { arrays } = skinnyLinear({ ...shape, rows, wholeBlocks: true });
      const bytes = arrays.reduce((sum, { type, length }) => sum + (type === "vec4<f32>" ? 16 : 4) * length, 0);
      expect(bytes).toBeLessThanOrEqual(16384);
    }
  });

  it("leaves columns outside its range alone, and reads a part of a split matrix", () => {
    const tuning = sharing(1);
    checkSkinny({ inputs: 12, outputs: 61, rows, bias: true, columns: [7, 49], partBase: 5, tuning }, rows);
    checkSkinny({ inputs: 12, outputs: 61, rows, outputRows: "packed", tuning }, rows);
  });

  it("reads every weight once, and every input once for all columns of a workgroup", () => {
    for (const [inputs, element] of [
      [76, "f32"],
      [88, "f16"],
    ] as const) {
      for (const mode of ["plain", "pair"] as const) {
        const test = { inputs, outputs: 77, rows, mode, element, norm: true, tuning: sharing(1) };
        const { count, columns } = checkSkinny(test, rows);
        expect(new Set(count.of("weight").loadsOfElement)).toEqual(new Set([1]));
        const workgroups = Math.ceil(77 / columns);
        const ofRows = count.of("input").loadsOfElement.subarray((rowBase * inputs) / 4);
        expect(new Set(ofRows)).toEqual(new Set([workgroups]));
      }
    }
  });
});

describe("a product that merges the splits of attention", () => {
  /** Splits of rows of attention, some of them without keys, and the merged rows. */
  function splitRows(rows: number, heads: number, width: number, splits: number) {
    const values = randomFloats(7, rows * heads * splits * width);
    const stats = randomFloats(8, rows * heads * splits * 2, 3);
    const merged = new Float64Array(rows * heads * width);
    for (let head = 0; head < rows * heads; head++) {
      const weights = Array.from({ length: splits }, (_, split) => {
        const at = head * splits + split;
        const empty = split > 0 && (head + split) % 3 === 0;
        stats[2 * at] = empty ? -1e30 : stats[2 * at]!;
        stats[2 * at + 1] = empty ? 0 : 1 + Math.abs(stats[2 * at + 1]!);
        if (empty) values.fill(0, at * width, (at + 1) * width);
        return 2 ** stats[2 * at]!;
      });
      const sum = weights.reduce((total, weight, split) => total + weight * stats[2 * (head * splits + split) + 1]!, 0);
      for (let i = 0; i < width; i++) {
        const total = weights.reduce(
          (acc, weight, split) => acc + weight * values[(head * splits + split) * width + i]!,
          0,
        );
        merged[head * width + i] = total / sum;
      }
    }
    return { values, stats, merged };
  }

  it.each([1, 2, 4, 8, 16] as const)("gives %i rows what merging first would give, heads of any width", (rows) => {
    for (const [heads, width] of [
      [4, 6],
      [2, 5],
      [3, 8],
    ] as const) {
      for (const splits of [1, 3]) {
        const [inputs, outputs] = [heads * width, 9];
        const { values, stats, merged } = splitRows(rowBase + rows, heads, width, splits);
        const weight = randomFloats(2, outputs * inputs);
        const before = randomFloats(5, (rowBase + rows) * outputs);
        const output = before.slice();
        const merge = { heads, kvHeads: 1, width };
        const tuning = sharing(1);
        const plain = optionsOf({ inputs, outputs, rows, mode: "residual", tuning });
        const options = { ...plain, rows, merge, wholeBlocks: false };
        expect(skinnyDivision(options).groups > 1).toBe(rows >= 8 && width % 4 === 0);
        runKernel(skinnyLinear(options), {
          buffers: { partial_values: values, partial_stats: stats, weight, output },
          params: {
            ...{ row_base: rowBase, row_count: rows, column_base: 0, column_count: outputs, part_base: 0, splits },
          },
          workgroups: [Math.ceil(outputs / skinnyDivision(options).columns), 1, 1],
          detectRaces: true,
        });
        const expected = Array.from(before, (old, place) => {
          const row = Math.floor(place / outputs);
          if (row < rowBase) return old;
          return old + matrixRow([...merged.subarray(row * inputs, (row + 1) * inputs)], weight, place % outputs);
        });
        expect(largestDifference(output, expected)).toBeLessThan(tolerance);
      }
    }
  });
});

describe("a tiled product", () => {
  it("multiplies any number of rows and columns, tile edges or not", () => {
    for (const [rows, outputs] of [
      [1, 1],
      [17, 65],
      [64, 64],
      [65, 3],
      [130, 70],
    ] as const) {
      for (const inputs of [1, 6, 16, 67, 100]) checkTiled({ inputs, outputs, rows });
    }
  });

  it("fuses norm, bias, residual and gating", () => {
    for (const mode of ["plain", "residual", "pair"] as const) {
      for (const bias of [false, true]) checkTiled({ inputs: 36, outputs: 70, rows: 66, mode, norm: true, bias });
    }
  });

  it("reads f16 weights", () => {
    for (const inputs of [3, 10, 40]) checkTiled({ inputs, outputs: 9, rows: 20, element: "f16", mode: "pair" });
  });

  it("leaves columns outside its range alone, and reads a part of a split matrix", () => {
    checkTiled({ inputs: 12, outputs: 90, rows: 3, bias: true, columns: [7, 70], partBase: 5 });
  });

  it("computes the same with tiles of every shape", () => {
    const roomy = { ...withoutSubgroups, limits: { ...withoutSubgroups.limits, maxWorkgroupMemory: 65536 } };
    for (const tileRows of tuningValues.tileRows) {
      for (const tileDepth of tuningValues.tileDepth) {
        const tuning = { ...defaultTuning, tileRows, tileDepth };
        for (const element of ["f32", "f16"] as const) {
          const test = { inputs: 44, outputs: 70, rows: 131, norm: true, element, mode: "pair" as const };
          expect(linearTile({ matrices: 2, capabilities: roomy, tuning })).toEqual({
            ...{ rows: tileRows, columns: 64, depth: tileDepth },
          });
          checkTiled({ ...test, capabilities: roomy }, tuning);
        }
      }
    }
  });

  it("takes smaller tiles than it was tuned for where workgroup memory ends, and none where even those do not fit", () => {
    const tuning = { ...defaultTuning, tileRows: 128, tileDepth: 8 };
    const of = (matrices: number, maxWorkgroupMemory: number) => {
      const capabilities = { ...withoutSubgroups, limits: { ...withoutSubgroups.limits, maxWorkgroupMemory } };
      const tile = linearTile({ matrices, capabilities, tuning });
      return tile && [tile.rows, tile.depth];
    };
    expect(of(1, 65536)).toEqual([128, 8]);
    expect(of(1, 16384)).toEqual([128, 4]);
    expect(of(2, 20480)).toEqual([128, 4]);
    expect(of(2, 16384)).toEqual([64, 4]);
    expect(of(2, 15000)).toBeUndefined();
  });

  it("keeps within the workgroup memory of every device when it gates", () => {
    const kernel = tiledLinear(optionsOf({ inputs: 64, outputs: 64, rows: 64, mode: "pair", norm: true }));
    const bytes = kernel.arrays.reduce((sum, { length }) => sum + 16 * length, 0);
    expect(bytes).toBeLessThanOrEqual(16384);
  });
});
