import { buildKernel, f32, inverseSqrt } from "../../../src/ir/kernel/builder.js";
import type { Capabilities } from "../../../src/ir/kernel/capabilities.js";
import type { Kernel } from "../../../src/ir/kernel/kernel.js";
import { reduceWorkgroup } from "../../../src/ir/kernel/reduce.js";

/** Adds `bias` to every row of `x`. One invocation per element. */
export function addBias(): Kernel {
  const options = {
    doc: "Adds bias to every row of x. One invocation per element.",
    origin: "examples/phd-2.phd:12",
    dispatch: "ceil(rows * width / 64) workgroups",
    workgroupSize: 64,
  };
  return buildKernel("add_bias", options, (k) => {
    const x = k.readWrite("x", "f32");
    const bias = k.read("bias", "f32", "weight");
    const rows = k.param("rows");
    const width = k.param("width");

    const index = k.let("index", k.globalId);
    k.if(index.lt(rows.mul(width)), () => {
      x.set(index, x.at(index).add(bias.at(index.rem(width))));
    });
  });
}

/** RMS norm of rows of `width` values, a multiple of four. One workgroup per row. */
export function rmsNorm(capabilities: Pick<Capabilities, "subgroups">, workgroupSize = 64): Kernel {
  const options = {
    doc: "Divides every row of x by its root mean square and multiplies it with weight. One workgroup per row.",
    dispatch: "rows workgroups",
    workgroupSize,
  };
  return buildKernel("rms_norm", options, (k) => {
    const x = k.read("x", "vec4<f32>");
    const weight = k.read("weight", "vec4<f32>", "weight");
    const y = k.readWrite("y", "vec4<f32>");
    const width = k.param("width");
    const epsilon = k.param("epsilon", "f32");

    const chunks = k.let("chunks", width.div(4));
    const start = k.let("start", k.workgroupId.x.mul(chunks));
    const squares = k.var("squares", f32(0));
    k.for("chunk", { from: k.localId, to: chunks, step: workgroupSize }, (chunk) => {
      const value = k.let("value", x.at(start.add(chunk)));
      const square = k.let("square", value.mul(value));
      squares.set(squares.add(square.x).add(square.y).add(square.z).add(square.w));
    });
    const [sum] = reduceWorkgroup(k, capabilities, "add", "sum", [squares]);
    const scale = k.let("scale", inverseSqrt(sum!.div(width.toF32()).add(epsilon)));
    k.for("chunk", { from: k.localId, to: chunks, step: workgroupSize }, (chunk) => {
      y.set(start.add(chunk), x.at(start.add(chunk)).mul(scale).mul(weight.at(chunk)));
    });
  });
}
