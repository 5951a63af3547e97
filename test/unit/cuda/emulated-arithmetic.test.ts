/** The emulated device's matrix units, 16-bit floats and conversions against the compiler's own definitions. */
import { beforeAll, describe, expect, it } from "vitest";
import { addHalves, buildKernel, fma, packHalves, unpackHalves, vector } from "../../../src/ir/kernel/builder.js";
import { cellOfA, cellOfB, cellOfC, cellOfLoad } from "../../../src/ir/kernel/fragments.js";
import { bfloatFromBits, bfloatToBits, halfFromBits, halfToBits } from "../../../src/ir/kernel/half.js";
import type { Kernel } from "../../../src/ir/kernel/kernel.js";
import { emulatedKernels, missingCompiler } from "./emulator.js";

const warp = { doc: "Computes.", dispatch: "one workgroup", workgroupSize: 32 };

/** Every lane multiplies the fragments that it is given. */
function multiply(format: "f16" | "bf16"): Kernel {
  return buildKernel(`multiply_${format}`, warp, (k) => {
    const a = k.read("a", "vec4<u32>");
    const b = k.read("b", "vec2<u32>");
    const c = k.readWrite("c", "vec4<f32>");
    const at = k.localId;
    c.set(at, k.mma("product", format, a.at(at), b.at(at), c.at(at)));
  });
}

/** Rows of eight halves through workgroup memory into fragments. */
function loadMatrices(matrices: 2 | 4, transposed: boolean): Kernel {
  return buildKernel(`load_${matrices}${transposed ? "_transposed" : ""}`, warp, (k) => {
    const rows = k.read("rows", "vec4<u32>");
    const loaded = k.readWrite("loaded", matrices === 2 ? "vec2<u32>" : "vec4<u32>");
    const tile = k.workgroupArray("tile", "vec4<u32>", 32);
    tile.set(k.localId, rows.at(k.localId));
    k.barrier();
    loaded.set(k.localId, k.matrixLoad("words", tile, k.localId, matrices, { transposed }));
  });
}

const many = 65536;

/** Conversions between f32 and both 16-bit floats. */
const conversions = buildKernel("conversions", { ...warp, workgroupSize: 256 }, (k) => {
  const x = k.read("x", "f32");
  const halves = k.read("halves", "f16");
  const rounded = k.readWrite("rounded", "f16");
  const rounded_brain = k.readWrite("rounded_brain", "bf16");
  const widened = k.readWrite("widened", "f32");
  const packed = k.readWrite("packed", "u32");
  const unpacked = k.readWrite("unpacked", "vec2<f32>");
  const integers = k.readWrite("integers", "i32");
  const naturals = k.readWrite("naturals", "u32");
  const value = k.let("value", x.at(k.globalId));
  rounded.set(k.globalId, value.toF16());
  rounded_brain.set(k.globalId, value.to("bf16"));
  widened.set(k.globalId, halves.at(k.globalId).toF32());
  const word = k.let("word", packHalves("f16", vector("f32", [value, value.neg()])));
  packed.set(k.globalId, word);
  unpacked.set(k.globalId, unpackHalves("bf16", packHalves("bf16", vector("f32", [value, value.neg()]))));
  integers.set(k.globalId, value.toI32());
  naturals.set(k.globalId, value.toU32());
});

/** Arithmetic of f16. */
const halfArithmetic = buildKernel("half_arithmetic", { ...warp, workgroupSize: 256 }, (k) => {
  const x = k.read("x", "f16");
  const y = k.readWrite("y", "vec4<f16>");
  const a = k.let("a", x.at(k.globalId));
  const b = k.let("b", x.at(k.globalId.add(257).rem(many)));
  y.set(k.globalId, vector("f16", [a.add(b), a.mul(b), a.div(b), fma(a, b, b)]));
});

/** Sums of pairs of halves in words. */
const pairSums = buildKernel("pair_sums", { ...warp, workgroupSize: 256 }, (k) => {
  const x = k.read("x", "u32");
  const y = k.readWrite("y", "vec2<u32>");
  const a = k.let("a", x.at(k.globalId));
  const b = k.let("b", x.at(k.globalId.add(257).rem(many)));
  y.set(k.globalId, vector("u32", [addHalves("f16", a, b), addHalves("bf16", a, b)]));
});

const kernels = [
  multiply("f16"),
  multiply("bf16"),
  ...([2, 4] as const).flatMap((matrices) => [loadMatrices(matrices, false), loadMatrices(matrices, true)]),
  conversions,
  halfArithmetic,
  pairSums,
];
let device: Awaited<ReturnType<typeof emulatedKernels>>;

beforeAll(async () => {
  if (missingCompiler !== undefined) return;
  device = await emulatedKernels(kernels);
}, 120_000);

/** The f16 that is nearest to an f64, ties to even: a whole number of the steps that f16 counts there. */
function nearestHalf(value: number): number {
  const size = Math.abs(value);
  if (!(size > 0 && size < 65520)) return size >= 65520 ? value * Number.POSITIVE_INFINITY : value;
  let exponent = -14;
  while (2 ** (exponent + 1) <= size) exponent++;
  const steps = size / 2 ** (exponent - 10);
  const below = Math.floor(steps);
  const up = steps - below > 0.5 || (steps - below === 0.5 && below % 2 === 1);
  return Math.sign(value) * (below + (up ? 1 : 0)) * 2 ** (exponent - 10);
}

const integer = (index: number) => ((index * 7919 + 13) % 15) - 7;
const pair = (low: number, high: number) => (low | (high << 16)) >>> 0;
const once = [1, 1, 1] as const;

describe.skipIf(missingCompiler !== undefined)("the emulated device", () => {
  it.each([
    ["f16", halfToBits],
    ["bf16", bfloatToBits],
  ] as const)("holds fragments of %s in the lanes that the compiler gives them", (format, toBits) => {
    const left = Array.from({ length: 16 }, (_, row) => Array.from({ length: 16 }, (_, k) => integer(row * 16 + k)));
    const right = Array.from({ length: 16 }, (_, k) =>
      Array.from({ length: 8 }, (_, column) => integer(k * 8 + column)),
    );
    const word = (lane: number, index: number, cell: typeof cellOfA, from: readonly (readonly number[])[]) => {
      const [low, high] = [cell(lane, 2 * index), cell(lane, 2 * index + 1)].map(({ row, column }) =>
        toBits(from[row]![column]!),
      );
      return pair(low!, high!);
    };
    const a = Uint32Array.from({ length: 128 }, (_, i) => word(i >> 2, i & 3, cellOfA, left));
    const b = Uint32Array.from({ length: 64 }, (_, i) => word(i >> 1, i & 1, cellOfB, right));
    const c = Float32Array.from({ length: 128 }, (_, i) => i);
    device.run(`multiply_${format}`, { buffers: { a, b, c }, params: {}, workgroups: once });
    c.forEach((found, i) => {
      const { row, column } = cellOfC(i >> 2, i & 3);
      const expected = left[row]!.reduce((sum, value, k) => sum + value * right[k]![column]!, i);
      expect(found, `row ${row}, column ${column}`).toBe(expected);
    });
  });

  it.each([
    [2, false],
    [2, true],
    [4, false],
    [4, true],
  ] as const)(
    "loads %i matrices into the lanes that the compiler gives them, transposed: %s",
    (matrices, transposed) => {
      const rows = Uint32Array.from({ length: 128 }, (_, i) => pair(2 * i, 2 * i + 1));
      const loaded = new Uint32Array(32 * matrices);
      const name = `load_${matrices}${transposed ? "_transposed" : ""}`;
      device.run(name, { buffers: { rows, loaded }, params: {}, workgroups: once });
      loaded.forEach((found, i) => {
        const [lane, matrix] = [Math.floor(i / matrices), i % matrices];
        const [low, high] = [0, 1].map((half) => {
          const { row, column } = cellOfLoad(lane, half, transposed);
          return (matrix * 8 + row) * 8 + column;
        });
        expect(found, `lane ${lane}, matrix ${matrix}`).toBe(pair(low!, high!));
      });
    },
  );

  it("converts between f32 and 16-bit floats to nearest, ties to even, over all halves and what lies between", () => {
    const halves = Uint16Array.from({ length: many }, (_, i) => (Number.isNaN(halfFromBits(i)) ? 0 : i));
    // Halfway between neighbours, and a little to either side: bits of f32 that spread over all exponents of f16 and beyond.
    const bits = Uint32Array.from({ length: many }, (_, i) => {
      const [sign, exponent, mantissa] = [i & 1, 96 + ((i >> 1) % 50), Math.imul(i, 2654435761) >>> 9];
      const edge = [0x1000, 0x0fff, 0x1001, 0x8000, 0x7fff, 0x8001][i % 6]!;
      return ((sign << 31) | (exponent << 23) | (i % 5 === 0 ? mantissa : (mantissa & ~0xffff) | edge)) >>> 0;
    });
    bits.set([0, 0x80000000, 0x7f800000, 0xff800000, 0x477fefff, 0x477ff000, 0x33000000, 0x33000001, 0x387fffff]);
    const x = new Float32Array(bits.buffer);
    const found = {
      ...{ rounded: new Uint16Array(many), rounded_brain: new Uint16Array(many), widened: new Float32Array(many) },
      ...{ packed: new Uint32Array(many), unpacked: new Float32Array(2 * many) },
      ...{ integers: new Int32Array(many), naturals: new Uint32Array(many) },
    };
    device.run("conversions", { buffers: { x, halves, ...found }, params: {}, workgroups: [many / 256, 1, 1] });
    const differing: string[] = [];
    const check = (what: string, i: number, value: number, expected: number) => {
      if (!Object.is(value, expected) && differing.length < 5)
        differing.push(`${what} ${i}: ${value}, not ${expected}`);
    };
    x.forEach((value, i) => {
      check("f16", i, found.rounded[i]!, halfToBits(value));
      check("bf16", i, found.rounded_brain[i]!, bfloatToBits(value));
      check("f32", i, found.widened[i]!, halfFromBits(halves[i]!));
      check("pair", i, found.packed[i]!, pair(halfToBits(value), halfToBits(-value)));
      check("unpacked", i, found.unpacked[2 * i + 1]!, bfloatFromBits(bfloatToBits(-value)));
      check("i32", i, found.integers[i]!, Math.max(-(2 ** 31), Math.min(2 ** 31 - 1, Math.trunc(value))) | 0);
      check("u32", i, found.naturals[i]!, Math.max(0, Math.min(2 ** 32 - 1, Math.trunc(value))) >>> 0);
    });
    expect(differing).toEqual([]);
  });

  it("rounds sums, products, quotients and fused products of f16 once", () => {
    const x = Uint16Array.from({ length: many }, (_, i) => (Math.imul(i, 40503) + 12345) & 0xffff);
    const y = new Uint16Array(4 * many);
    device.run("half_arithmetic", { buffers: { x, y }, params: {}, workgroups: [many / 256, 1, 1] });
    const differing: string[] = [];
    for (let i = 0; i < many; i++) {
      const [a, b] = [halfFromBits(x[i]!), halfFromBits(x[(i + 257) % many]!)];
      [a + b, a * b, a / b, a * b + b].forEach((exact, operation) => {
        const value = halfFromBits(y[4 * i + operation]!);
        if (!Object.is(value, nearestHalf(exact)) && differing.length < 5) {
          differing.push(`operation ${operation} of ${a} and ${b}: ${value}, not ${nearestHalf(exact)}`);
        }
      });
    }
    expect(differing).toEqual([]);
  });

  it("adds pairs of halves and rounds each sum once", () => {
    const x = Uint32Array.from({ length: many }, (_, i) => Math.imul(i, 2654435761) >>> 0);
    const y = new Uint32Array(2 * many);
    device.run("pair_sums", { buffers: { x, y }, params: {}, workgroups: [many / 256, 1, 1] });
    const formats = [
      [halfFromBits, halfToBits],
      [bfloatFromBits, bfloatToBits],
    ] as const;
    const differing: string[] = [];
    for (let i = 0; i < many; i++) {
      for (const [format, [fromBits, toBits]] of formats.entries()) {
        for (const shift of [0, 16]) {
          const [a, b] = [x[i]!, x[(i + 257) % many]!].map((word) => fromBits((word >>> shift) & 0xffff));
          const found = fromBits((y[2 * i + format]! >>> shift) & 0xffff);
          const expected = fromBits(toBits(a! + b!));
          if (!Object.is(found, expected) && differing.length < 5)
            differing.push(`${a} + ${b}: ${found}, not ${expected}`);
        }
      }
    }
    expect(differing).toEqual([]);
  });
});
