import { describe, expect, it } from "vitest";
import {
  bf16ToF32,
  bytesOf,
  convertFloats,
  f16ToF32,
  f32ToBf16,
  f32ToF16,
  roundToF16,
  toF32,
  toIntegers,
} from "../../../src/runtime/dtype.js";

const allHalves = Uint16Array.from({ length: 0x10000 }, (_, half) => half);
const isNan16 = (half: number, infinity: number) => (half & 0x7fff) > infinity;

/** Every finite half, ascending, by its definition: sign, exponent, mantissa. */
function finiteHalves(): { readonly value: number; readonly bits: number }[] {
  const positive = [];
  for (let bits = 0; bits < 0x7c00; bits++) {
    const exponent = bits >>> 10;
    const mantissa = bits & 0x3ff;
    positive.push({ value: exponent === 0 ? mantissa * 2 ** -24 : (1 + mantissa / 1024) * 2 ** (exponent - 15), bits });
  }
  return positive;
}

describe("half precision weights", () => {
  it("come back unchanged from float for every half there is", () => {
    const back = f32ToF16(f16ToF32(allHalves));
    const changed = [...allHalves].filter((half) => !isNan16(half, 0x7c00) && back[half] !== half);
    expect(changed).toEqual([]);
    expect([...allHalves].filter((half) => isNan16(half, 0x7c00) !== isNan16(back[half]!, 0x7c00))).toEqual([]);
  });

  it("round to the nearest half between any two neighbours, and to the even one midway", () => {
    const halves = finiteHalves();
    for (let at = 0; at + 1 < halves.length; at++) {
      const low = halves[at]!;
      const high = halves[at + 1]!;
      const middle = (low.value + high.value) / 2;
      const even = low.bits % 2 === 0 ? low : high;
      const quarter = (high.value - low.value) / 4;
      expect(roundToF16(middle)).toBe(even.value);
      expect(roundToF16(middle - quarter)).toBe(low.value);
      expect(roundToF16(middle + quarter)).toBe(high.value);
      expect(roundToF16(-middle)).toBe(-even.value);
    }
  });

  it("turn into infinity from 65520 on, which is nearer to the next power of two", () => {
    expect(roundToF16(65519.99)).toBe(65504);
    expect(roundToF16(65520)).toBe(Number.POSITIVE_INFINITY);
    expect(roundToF16(-1e30)).toBe(Number.NEGATIVE_INFINITY);
  });

  it("keep the sign of zero, subnormals, infinities and NaN", () => {
    expect(roundToF16(2 ** -24)).toBe(2 ** -24);
    expect(roundToF16(2 ** -25)).toBe(0);
    expect(roundToF16(2 ** -25 * 1.001)).toBe(2 ** -24);
    expect(Object.is(roundToF16(-0), -0)).toBe(true);
    expect(roundToF16(Number.NaN)).toBeNaN();
    expect(roundToF16(Number.POSITIVE_INFINITY)).toBe(Number.POSITIVE_INFINITY);
  });
});

describe("bfloat16 weights", () => {
  it("come back unchanged from float for every value there is", () => {
    const back = f32ToBf16(bf16ToF32(allHalves));
    expect([...allHalves].filter((value) => !isNan16(value, 0x7f80) && back[value] !== value)).toEqual([]);
    expect([...allHalves].filter((value) => isNan16(value, 0x7f80) !== isNan16(back[value]!, 0x7f80))).toEqual([]);
  });

  it("round ties to even and overflow to infinity", () => {
    const rounded = (value: number) => bf16ToF32(f32ToBf16(Float32Array.of(value)))[0];
    expect(rounded(1 + 2 ** -8)).toBe(1);
    expect(rounded(1 + 3 * 2 ** -8)).toBe(1 + 2 ** -6);
    expect(rounded(1 + 2 ** -8 + 2 ** -20)).toBe(1 + 2 ** -7);
    expect(rounded(3.4e38)).toBe(Number.POSITIVE_INFINITY);
    expect(rounded(2 ** -133)).toBe(2 ** -133);
  });

  it("keep a NaN whose payload lies in the bits that are dropped", () => {
    const payload = new Float32Array(Uint32Array.of(0x7f800001).buffer);
    expect(bf16ToF32(f32ToBf16(payload))[0]).toBeNaN();
  });
});

describe("stored elements", () => {
  it("are read at any address, as files do not align them", () => {
    const values = Float32Array.of(1, -2.5, 3e-40);
    const shifted = new Uint8Array(values.byteLength + 1);
    shifted.set(bytesOf(values), 1);
    expect([...toF32(shifted.subarray(1), "F32")]).toEqual([...values]);
  });

  it("convert between types by way of float", () => {
    const doubles = Float64Array.of(1 / 3, -(2 ** -24), 7e4);
    expect([...toF32(convertFloats(bytesOf(doubles), "F64", "F16"), "F16")]).toEqual(
      [...doubles].map((value) => roundToF16(value)),
    );
  });

  it("are token ids in any integer type", () => {
    expect(toIntegers(bytesOf(BigInt64Array.of(5n, -1n)), "I64")).toEqual([5, -1]);
    expect(toIntegers(bytesOf(Int32Array.of(7, -3)), "I32")).toEqual([7, -3]);
    expect(toIntegers(bytesOf(Uint16Array.of(65535)), "U16")).toEqual([65535]);
    expect(toIntegers(Uint8Array.of(1, 0), "BOOL")).toEqual([1, 0]);
  });
});
