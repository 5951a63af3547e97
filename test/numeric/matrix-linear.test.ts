/** Products with 16-bit weights on matrix units, against float64 with the weights and inputs that the kernels round to. */
import { describe, expect, it } from "vitest";
import { matrixSkinnyColumns } from "../../src/kernels/linear/matrix-skinny.js";
import { checkSkinny, checkTiled, optionsOf } from "./matrix-products.js";

describe("a skinny product on matrix units", () => {
  it.each([8, 16, 32] as const)("multiplies up to %i rows of any width", (rows) => {
    for (const inputs of [1, 6, 16, 24, 67, 128, 300]) {
      for (const outputs of [1, 5, 32, 37]) checkSkinny({ inputs, outputs, rows: rows - 1 }, rows);
    }
  });

  it("fuses norm, bias, residual and gating", () => {
    for (const mode of ["plain", "residual", "pair"] as const) {
      for (const bias of [false, true]) {
        for (const rows of [8, 16] as const) {
          for (const inputs of [36, 35]) checkSkinny({ inputs, outputs: 21, rows, mode, norm: true, bias }, rows);
        }
      }
    }
  });

  it("takes f16 as it takes bf16", () => {
    for (const rows of [1, 3, 8]) checkSkinny({ inputs: 80, outputs: 33, rows, element: "f16", mode: "pair" }, 8);
  });

  it("takes several bands of outputs in a workgroup where there are many", () => {
    for (const rows of [3, 16]) {
      const test = { inputs: 20, outputs: 16 * 1100 + 5, rows, norm: true };
      expect(matrixSkinnyColumns({ ...optionsOf(test), rows: rows === 3 ? 8 : 16 })).toBeGreaterThan(16);
      checkSkinny(test, rows === 3 ? 8 : 16);
    }
  });

  it("reads every weight exactly once for up to 32 rows, odd sizes included", () => {
    for (const rows of [1, 8, 13, 32]) {
      for (const outputs of [1, 7, 40]) {
        for (const mode of ["plain", "pair"] as const) {
          const kernelRows = rows <= 8 ? 8 : rows <= 16 ? 16 : 32;
          const { count } = checkSkinny({ inputs: 150, outputs, rows, mode, norm: true }, kernelRows);
          expect(new Set(count.of("weight").loadsOfElement)).toEqual(new Set([1]));
        }
      }
    }
  });

  it("takes more rows than one block has", () => {
    checkSkinny({ inputs: 12, outputs: 5, rows: 37, mode: "residual" }, 16);
  });

  it("leaves columns outside its range alone, wherever in a tile that begins", () => {
    for (const columns of [
      [7, 9],
      [16, 16],
      [15, 20],
      [30, 31],
    ] as const) {
      checkSkinny({ inputs: 12, outputs: 61, rows: 3, bias: true, columns }, 8);
    }
  });

  it("packs the rows of a range to the front for the logits", () => {
    checkSkinny({ inputs: 12, outputs: 11, rows: 2, outputRows: "packed" }, 8);
  });
});

describe.each(["small", "large"] as const)("a product of %s tiles on matrix units", (tile) => {
  it("multiplies any number of rows and columns, tile edges or not", () => {
    for (const [rows, outputs] of [
      [1, 1],
      [17, 65],
      [64, 64],
      [65, 3],
      [130, 150],
    ] as const) {
      for (const inputs of [1, 6, 16, 32, 67, 128]) checkTiled({ inputs, outputs, rows }, tile);
    }
  });

  it("fuses norm, bias, residual and gating", () => {
    for (const mode of ["plain", "residual", "pair"] as const) {
      for (const bias of [false, true]) {
        for (const inputs of [96, 35]) checkTiled({ inputs, outputs: 70, rows: 66, mode, norm: true, bias }, tile);
      }
    }
  });

  it("takes f16 as it takes bf16", () => {
    checkTiled({ inputs: 80, outputs: 33, rows: 20, element: "f16", mode: "pair" }, tile);
  });

  it("leaves columns outside its range alone, wherever in a tile that begins", () => {
    for (const columns of [
      [7, 9],
      [16, 100],
      [15, 120],
    ] as const) {
      checkTiled({ inputs: 12, outputs: 151, rows: 3, bias: true, columns }, tile);
    }
  });

  it("brings every weight once for all rows of a tile", () => {
    const { count } = checkTiled({ inputs: 150, outputs: 128, rows: 60 }, tile);
    expect(new Set(count.of("weight").loadsOfElement)).toEqual(new Set([1]));
  });
});
