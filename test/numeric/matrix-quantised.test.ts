/** Products with small integers on matrix units, against float64 with the weights that the integers stand for. */
import { describe, expect, it } from "vitest";
import { matrixSkinnyLinear } from "../../src/kernels/linear/matrix-skinny.js";
import { quantisedGroups } from "../../src/runtime/quantise.js";
import { checkSkinny, checkTiled, optionsOf } from "./matrix-products.js";

describe.each([4, 8] as const)("a skinny product with weights of %i bits on matrix units", (bits) => {
  it.each([8, 16, 32] as const)("multiplies up to %i rows of any width, in groups of any size", (rows) => {
    for (const inputs of [1, 6, 37, 64, 100, 300]) {
      for (const group of quantisedGroups) {
        checkSkinny({ inputs, outputs: 21, rows: rows - 1, quantised: { bits, group }, norm: true }, rows);
      }
    }
  });

  it("takes f16 as it takes bf16", () => {
    for (const rows of [8, 16] as const) {
      checkSkinny({ inputs: 200, outputs: 33, rows, element: "f16", quantised: { bits, group: 32 } }, rows);
    }
  });

  it("fuses norm, bias, residual and gating", () => {
    for (const mode of ["plain", "residual", "pair"] as const) {
      for (const bias of [false, true]) {
        for (const rows of [8, 16] as const) {
          const quantised = { bits, group: 32 } as const;
          checkSkinny({ inputs: 140, outputs: 21, rows, mode, norm: true, bias, quantised }, rows);
        }
      }
    }
  });

  it("takes several bands of outputs in a workgroup where there are many", () => {
    checkSkinny({ inputs: 70, outputs: 16 * 1100 + 5, rows: 3, quantised: { bits, group: 16 } }, 8);
  });

  it("leaves columns outside its range alone, in a part of the matrix too", () => {
    for (const columns of [
      [7, 9],
      [16, 16],
      [15, 20],
    ] as const) {
      checkSkinny({ inputs: 80, outputs: 61, rows: 3, columns, quantised: { bits, group: 32 } }, 8);
    }
    checkSkinny(
      { inputs: 80, outputs: 61, rows: 3, columns: [39, 20], partBase: 32, quantised: { bits, group: 16 } },
      8,
    );
  });

  it("loads every word exactly once for up to 32 rows, and every scale in one load of the four lanes that need it", () => {
    for (const rows of [1, 8, 13, 32]) {
      const kernelRows = rows <= 8 ? 8 : rows <= 16 ? 16 : 32;
      for (const group of quantisedGroups) {
        for (const mode of ["plain", "pair"] as const) {
          const test = { inputs: 300, outputs: 40, rows, mode, quantised: { bits, group } };
          const { count } = checkSkinny(test, kernelRows);
          expect(new Set(count.of("weight").loadsOfElement)).toEqual(new Set([1]));
          expect(new Set(count.of("weight_scales").loadsOfElement)).toEqual(new Set([4]));
        }
      }
    }
  });

  it("makes a left operand once for all rows", () => {
    const sumsOfPairs = (rows: 8 | 32) => {
      const options = optionsOf({ inputs: 1024, outputs: 16, rows, quantised: { bits, group: 32 } });
      const { body } = matrixSkinnyLinear({ ...options, rows });
      return JSON.stringify(body).match(/"add-halves"/g)!.length;
    };
    expect(sumsOfPairs(32)).toBe(sumsOfPairs(8));
  });
});

describe.each(["small", "large"] as const)("a product of %s tiles with small integers on matrix units", (tile) => {
  describe.each([4, 8] as const)("of %i bits", (bits) => {
    it("multiplies any number of rows and columns, in groups of any size", () => {
      for (const group of quantisedGroups) {
        for (const inputs of [6, 37, 100, 160])
          checkTiled({ inputs, outputs: 67, rows: 35, quantised: { bits, group } }, tile);
      }
      checkTiled({ inputs: 96, outputs: 150, rows: 130, norm: true, quantised: { bits, group: 32 } }, tile);
    });

    it("takes f16, fuses gating and bias, and leaves columns outside its range alone", () => {
      const quantised = { bits, group: 32 } as const;
      checkTiled(
        { inputs: 80, outputs: 33, rows: 20, element: "f16", mode: "pair", norm: true, bias: true, quantised },
        tile,
      );
      checkTiled({ inputs: 80, outputs: 151, rows: 3, columns: [39, 100], partBase: 32, quantised }, tile);
    });

    it("brings every word of weights once for all rows of a tile", () => {
      const { count } = checkTiled({ inputs: 256, outputs: 128, rows: 60, quantised: { bits, group: 32 } }, tile);
      expect(new Set(count.of("weight").loadsOfElement)).toEqual(new Set([1]));
      expect(new Set(count.of("weight_scales").loadsOfElement)).toEqual(new Set([1]));
    });
  });
});
