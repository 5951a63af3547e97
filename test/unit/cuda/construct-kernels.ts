import {
  abs,
  buildKernel,
  exp,
  f16,
  floor,
  fma,
  inverseSqrt,
  max,
  min,
  select,
  sqrt,
  tanh,
  vector,
} from "../../../src/ir/kernel/builder.js";
import type { Kernel } from "../../../src/ir/kernel/kernel.js";

/** Subgroup operations over whole warps. */
export function warpConstructs(): Kernel {
  const options = { doc: "Combines values over warps.", dispatch: "one workgroup", workgroupSize: 64 };
  return buildKernel("warp_constructs", options, (k) => {
    const x = k.read("x", "f32");
    const y = k.readWrite("y", "f32");
    const value = k.let("value", x.at(k.globalId));
    const results = [
      k.subgroupAdd("sum", value),
      k.subgroupMax("most", value),
      k.subgroupMin("least", value),
      k.subgroupBroadcast("first", value, 3),
      k.subgroupShuffleXor("neighbour", value, 1),
      k.subgroupAdd("pair", vector("f32", [value, value.mul(2)])).y,
      k.subgroupLane.add(k.subgroupSize).toF32(),
    ];
    results.forEach((result, i) => {
      y.set(k.globalId.mul(results.length).add(i), result);
    });
  });
}

/** Arithmetic in f16, storage in bf16. */
export function halfConstructs(): Kernel {
  const options = { doc: "Computes in f16.", dispatch: "one workgroup", workgroupSize: 32 };
  return buildKernel("half_constructs", options, (k) => {
    const x = k.read("x", "vec4<f16>");
    const w = k.read("w", "vec2<bf16>");
    const y = k.readWrite("y", "vec4<f16>");
    const z = k.readWrite("z", "bf16");
    const a = k.let("a", x.at(k.localId));
    const b = k.let("b", w.at(k.localId).toF32());
    const scale = k.let("scale", b.x.toF16().mul(f16(0.5)));
    y.set(k.localId, fma(a, scale, max(a, min(a.neg(), f16(2)))).div(exp(a.y).add(1)));
    const small = k.let("small", select(a.x.lt(a.z), inverseSqrt(abs(a.x).add(1)), tanh(floor(sqrt(abs(a.w))))));
    z.set(k.localId, small.toF32().add(b.y).to("bf16"));
  });
}
