import { describe, expect, it } from "vitest";
import { type Capabilities, portableCapabilities } from "../../src/ir/kernel/capabilities.js";
import { findMisfits } from "../../src/ir/kernel/verify.js";
import { decodeAttention } from "../../src/kernels/attention/decode.js";
import { preferredTileRows } from "../../src/kernels/attention/options.js";
import { prefillAttention } from "../../src/kernels/attention/prefill.js";
import { chooseTiling } from "../../src/kernels/attention/tiling.js";
import { phdCswa } from "./attention-relations.js";

const small: Capabilities = {
  ...portableCapabilities,
  limits: { ...portableCapabilities.limits, maxWorkgroupSize: 64, maxWorkgroupMemory: 8192 },
};

describe("attention on a device with no more than the default limits", () => {
  it("finds a tiling for every block of rows and every usual width", () => {
    for (const capabilities of [
      portableCapabilities,
      { ...portableCapabilities, subgroups: { minSize: 8, maxSize: 64 } },
    ]) {
      for (const width of [1, 2, 3, 5, 8, 16, 20, 24, 32, 48, 63, 64, 80, 96, 112, 127, 128, 129, 192, 255, 256]) {
        for (let rows = 1; rows <= 64; rows++) {
          const tiling = chooseTiling(rows, width, capabilities);
          expect(tiling.rowVectors * tiling.keyColumns * tiling.lanes).toBeLessThanOrEqual(tiling.workgroupSize);
          const gatherers = tiling.gatherRows * tiling.headVectors * tiling.keyShares;
          expect(gatherers).toBeLessThanOrEqual(tiling.workgroupSize);
          expect(tiling.rowVectors * tiling.rowVector).toBeGreaterThanOrEqual(rows);
        }
      }
    }
  });

  it.each([
    [1, 1, 64, 1],
    [32, 8, 64, 16],
    [16, 4, 96, 16],
    [16, 4, 96, 3],
    [64, 1, 128, 1],
    [12, 12, 256, 64],
    [71, 1, 64, 5],
    [9, 3, 5, 21],
  ])("fits them with %i heads over %i, width %i, %i rows a tile", (heads, kvHeads, width, tileRows) => {
    const { groups, parts, predicate } = phdCswa(3, 16, 32);
    const shape = { heads, kvHeads, width, tileRows, scale: 1, cache: "f32", groups, parts, predicate } as const;
    for (const capabilities of [portableCapabilities, small]) {
      for (const make of [prefillAttention, decodeAttention]) {
        expect(findMisfits(make({ ...shape, capabilities }), capabilities)).toEqual([]);
      }
    }
  });

  it.each([
    [1, 1, 64, 1, "head"],
    [16, 4, 96, 16, "row"],
    [32, 8, 128, 2, "head"],
    [12, 12, 256, 64, "row"],
    [71, 1, 64, 5, "head"],
  ] as const)(
    "fits them where they finish heads: %i over %i, width %i, %i rows a tile, norms over each %s",
    (heads, kvHeads, width, tileRows, over) => {
      const { groups, parts, predicate } = phdCswa(16, 16, 32);
      const norm = { epsilon: 1e-6, over, weightAt: 0 };
      const fresh = {
        sources: [(heads + 2 * kvHeads) * width],
        query: { source: 0, offset: 0, rotate: true, norm },
        key: { source: 0, offset: heads * width, rotate: true, norm: { ...norm, weightAt: width } },
        value: { source: 0, offset: (heads + kvHeads) * width },
        ...{
          copyAngles: false,
          order: Array.from({ length: 16 }, (_, index) => index + 1),
          entering: 16,
          kept: [0, 1],
        },
      };
      const shape = {
        heads,
        kvHeads,
        width,
        tileRows,
        scale: 1,
        cache: "f32",
        groups,
        parts,
        predicate,
        fresh,
      } as const;
      for (const capabilities of [portableCapabilities, small]) {
        expect(findMisfits(decodeAttention({ ...shape, capabilities }), capabilities)).toEqual([]);
      }
    },
  );

  it("fills a block with the rows of a tile that it prefers", () => {
    expect(preferredTileRows({ heads: 32, kvHeads: 8, width: 64 })).toBe(16);
    expect(preferredTileRows({ heads: 4, kvHeads: 4, width: 64 })).toBe(64);
    expect(preferredTileRows({ heads: 100, kvHeads: 1, width: 64 })).toBe(1);
  });
});
