import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  bfloatFromBits,
  bfloatToBits,
  halfFromBits,
  halfToBits,
  roundToBfloat,
  roundToHalf,
} from "../../../src/ir/kernel/half.js";

describe("16-bit floats", () => {
  it("read back from their bits, every f16 and every bf16 that is a number", () => {
    const changed: number[] = [];
    for (let bits = 0; bits < 65536; bits++) {
      const half = halfFromBits(bits);
      const bfloat = bfloatFromBits(bits);
      if (!Number.isNaN(half) && halfToBits(half) !== bits) changed.push(half);
      if (!Number.isNaN(bfloat) && bfloatToBits(bfloat) !== bits) changed.push(bfloat);
    }
    expect(changed).toEqual([]);
  });

  it("round to the nearest value, and to the even one half way", () => {
    fc.assert(
      fc.property(fc.float({ noNaN: true, min: -65000, max: 65000 }), (value) => {
        for (const [rounded, toBits, fromBits] of [
          [roundToHalf(value), halfToBits, halfFromBits],
          [roundToBfloat(value), bfloatToBits, bfloatFromBits],
        ] as const) {
          const bits = toBits(rounded);
          const error = Math.abs(rounded - value);
          for (const neighbour of [bits - 1, bits + 1]) {
            const other = Math.abs(fromBits(neighbour & 0xffff) - value);
            if (Number.isNaN(other)) continue;
            expect(error).toBeLessThanOrEqual(other);
            if (error === other && error !== 0) expect(bits & 1).toBe(0);
          }
        }
      }),
      { numRuns: 2000 },
    );
  });

  it("overflow to infinity from 65520 on", () => {
    expect(roundToHalf(65519.99)).toBe(65504);
    expect(roundToHalf(65520)).toBe(Number.POSITIVE_INFINITY);
    expect(roundToHalf(-1e30)).toBe(Number.NEGATIVE_INFINITY);
    expect(roundToHalf(Number.NaN)).toBeNaN();
  });
});
