/** Kernels that together use every construct of the IR that WGSL has, for comparing a device with the interpreter. */
import {
  abs,
  addHalves,
  bool,
  buildKernel,
  ceil,
  clamp,
  dot,
  exp,
  exp2,
  f16,
  f32,
  floor,
  fma,
  i32,
  inverseSqrt,
  log,
  log2,
  max,
  min,
  packHalves,
  select,
  sqrt,
  tanh,
  u32,
  unpackHalves,
  type Value,
  vector,
} from "../../../src/ir/kernel/builder.js";
import type { Kernel } from "../../../src/ir/kernel/kernel.js";

const options = {
  doc: "Computes one row of results for each invocation.",
  dispatch: "one workgroup",
  workgroupSize: 16,
};

/** Floats: every function, at a positive and at a signed argument. */
export function floatConstructs(): Kernel {
  return buildKernel("float_constructs", options, (k) => {
    const x = k.read("x", "f32");
    const y = k.readWrite("y", "f32");
    const a = k.let("a", x.at(k.localId));
    const b = k.let("b", x.at(k.localId.add(1).rem(16)));
    const positive = k.let("positive", abs(a).add(0.125));
    const results = [
      a.add(b).mul(a.sub(b)),
      a.sub(b.sub(a)),
      a.div(positive).neg(),
      a.neg().mul(f32(-2)).sub(f32(-0.5)),
      a.rem(0.75),
      min(a, b, 0.5),
      max(a, b),
      clamp(a, -0.5, 0.5),
      fma(a, b, positive),
      exp(a),
      exp2(b),
      log(positive),
      log2(positive),
      sqrt(positive),
      inverseSqrt(positive),
      tanh(a),
      floor(a),
      ceil(a),
      select(a.lt(b).and(a.gt(-1).or(b.ge(0.25))), a, b),
      select(a.ne(b).not(), f32(1e-30), f32(3.4e38)),
      a.toI32().toF32(),
      positive.mul(3).toU32().toF32(),
      a.bitcast("u32").bitAnd(0x7fffffff).bitcast("f32"),
    ];
    writeAll(results, (index, value) => y.set(k.localId.mul(results.length).add(index), value));
  });
}

/** Integers: wrapping, truncating division, shifts, bits. */
export function integerConstructs(): Kernel {
  return buildKernel("integer_constructs", options, (k) => {
    const y = k.readWrite("y", "i32");
    const offset = k.param("offset", "i32");
    const scale = k.param("scale");
    const a = k.let("a", k.localId.toI32().sub(offset));
    const u = k.let("u", k.localId.mul(scale).add(7));
    const results = [
      a.mul(a.sub(3)).add(offset),
      a.div(3),
      a.rem(3),
      a.neg().sub(a.bitXor(0x55)),
      abs(a),
      min(a, offset),
      max(a, -2),
      clamp(a, -3, 3),
      a.shl(3),
      a.shr(1),
      a.bitAnd(6).bitOr(a.bitXor(-1).shl(1)),
      u.shr(3).mul(5).sub(u).toI32(),
      u.div(5).add(u.rem(5).mul(u)).toI32(),
      u.bitAnd(u.shr(1).bitXor(9)).toI32(),
      select(a.le(0).or(u.eq(7)), i32(-2147483648), i32(2147483647)),
      select(bool(true).and(a.gt(2)), a, 7),
      u.mul(0x9e3779b9).shr(16).toI32(),
    ];
    writeAll(results, (index, value) => y.set(k.localId.mul(results.length).add(index), value));
  });
}

/** Vectors of two and four, and halves packed into words. */
export function vectorConstructs(): Kernel {
  return buildKernel("vector_constructs", options, (k) => {
    const x = k.read("x", "vec4<f32>");
    const y = k.readWrite("y", "vec4<f32>");
    const bits = k.readWrite("bits", "vec4<u32>");
    const a = k.let("a", x.at(k.localId));
    const b = k.let("b", vector("f32", [a.w, a.z, 0.5, a.x]));
    const swapped = k.var("swapped", vector("f32", [a.x, a.y]));
    swapped.set(vector("f32", [swapped.y, swapped.x]));
    const results = [
      a
        .mul(2)
        .add(b)
        .sub(b.div(fma(a, a, b.mul(b)).add(1))),
      fma(a, b.x, a).neg(),
      max(a, b).add(min(a, 0)),
      select(a.lt(b), a, b),
      select(a.x.lt(0), a, b),
      vector("f32", [dot(a, b), swapped.x, swapped.y, dot(swapped, swapped)]),
      vector("f32", [a.toI32().x.toF32(), abs(a).toU32().y.toF32(), a.bitcast("u32").z.shr(20).toF32(), 1]),
    ];
    const low = k.let("low", vector("f32", [a.x, a.y]));
    const halves = k.let("halves", unpackHalves("f16", packHalves("f16", low)));
    const bfloats = k.let("bfloats", unpackHalves("bf16", packHalves("bf16", low)));
    results.push(vector("f32", [halves.x, halves.y, bfloats.x, bfloats.y]));
    writeAll(results, (index, value) => y.set(k.localId.mul(results.length).add(index), value));
    const packed = [packHalves("f16", low), packHalves("bf16", low)] as const;
    // Twice a half is a half, whatever a device does to those between.
    const sums = [
      addHalves("f16", packed[0], packed[0]),
      addHalves("bf16", packed[1], packHalves("bf16", vector("f32", [b.x, b.y]))),
    ];
    bits.set(k.localId, vector("u32", [...packed, ...sums]));
  });
}

/** Loops, branches, registers, workgroup memory, atomics, uniform loads, and names that WGSL reserves. */
export function controlConstructs(): Kernel {
  return buildKernel("control_constructs", options, (k) => {
    const x = k.read("filter", "f32");
    const y = k.readWrite("target", "f32");
    const length = k.param("length");
    const tile = k.workgroupArray("shared", "f32", 16);
    const counters = k.atomicArray("counters", 2);
    const steps = k.workgroupArray("steps", "u32", 1);

    k.comment("Each invocation sums every sixteenth value, four at a time where it can.");
    const sum = k.var("max", f32(0));
    k.for("i", { from: k.localId, to: length, step: 16 }, (i) => sum.set(sum.add(x.at(i))));
    const parts = k.registers("parts", "f32", 4);
    k.for("part", { to: 4, unroll: true }, (part) => {
      const scaled = k.let("scaled", sum.mul(part.toF32().add(1)));
      k.for("inner", { to: 2, unroll: true }, (inner) => {
        parts.set(part, parts.at(part).add(scaled.mul(inner.add(1).toF32())));
      });
    });
    tile.set(k.localId, parts.at(3).sub(parts.at(0)));
    k.if(k.localId.lt(2), () => {
      counters.set(k.localId, 0);
    });
    k.barrier();

    k.comment("Halves until small, counting the steps.");
    const value = k.var("value", abs(tile.at(k.localId.bitXor(1))));
    const rounds = k.var("rounds", u32(0));
    k.while(value.gt(1), 100, () => {
      value.set(value.mul(0.5));
      rounds.set(rounds.add(1));
      k.if(rounds.eq(9), () => k.break());
    });
    k.atomicAdd(counters, 0, rounds);
    k.atomicMax(counters, 1, rounds, "earlier");
    k.barrier();
    k.if(
      k.localId.eq(0),
      () => steps.set(0, counters.at(1).add(counters.at(0).rem(2))),
      () => value.set(value.add(1)),
    );
    const most = k.uniformLoad("most", steps, 0);
    k.for("step", { to: most }, (step) => {
      k.barrier();
      const neighbour = k.let("neighbour", tile.at(k.localId.add(step).rem(16)));
      k.barrier();
      tile.set(k.localId, neighbour.add(step.toF32()));
      k.if(step.ge(3), () => k.break());
    });
    k.barrier({ buffers: true });
    const total = k.let("total", value.add(tile.at(k.localId)).add(counters.at(0).toF32()));
    y.set(k.localId, total.add(k.numWorkgroups.x.add(k.workgroupId.y).toF32()), { when: k.localId.ne(5) });
  });
}

/** Subgroup operations whose results do not depend on the size of the subgroup beyond `lanes`. */
export function subgroupConstructs(): Kernel {
  return buildKernel("subgroup_constructs", options, (k) => {
    const x = k.read("x", "f32");
    const y = k.readWrite("y", "f32");
    const value = k.let("value", x.at(k.localId));
    const results = [
      k.subgroupAdd("sum", value),
      k.subgroupMax("most", value),
      k.subgroupMin("least", value),
      k.subgroupBroadcast("first", value, 0),
      k.subgroupShuffleXor("neighbour", value, 1),
      k.subgroupAdd("pair", vector("f32", [value, value.mul(2)])).y,
      k.subgroupLane.toF32(),
      k.subgroupSize.toF32(),
    ];
    writeAll(results, (index, result) => y.set(k.localId.mul(results.length).add(index), result));
  });
}

/** Arithmetic and storage in f16. */
export function halfConstructs(): Kernel {
  return buildKernel("half_constructs", options, (k) => {
    const x = k.read("x", "vec4<f16>");
    const y = k.readWrite("y", "vec4<f16>");
    const tile = k.workgroupArray("tile", "vec4<f16>", 16);
    tile.set(k.localId, x.at(k.localId).mul(f16(0.5)));
    k.barrier();
    const a = k.let("a", tile.at(k.localId.bitXor(1)));
    const scale = k.let("scale", max(a.x, exp(a.y.neg())).toF32().add(0.25).toF16());
    const scaled = k.let("scaled", fma(a, scale, clamp(a, -1, 0.5)));
    y.set(k.localId, select(a.x.lt(0.25), scaled, vector("f16", [scaled.w, sqrt(abs(a.z)), dot(a, a), 1])));
  });
}

function writeAll(results: readonly Value[], write: (index: number, value: Value) => void): void {
  results.forEach((value, index) => {
    write(index, value);
  });
}
