import {
  buildKernel,
  f32,
  inverseSqrt,
  type KernelBuilder,
  max,
  min,
  type Value,
} from "../../../src/ir/kernel/builder.js";
import type { Capabilities } from "../../../src/ir/kernel/capabilities.js";
import type { Kernel } from "../../../src/ir/kernel/kernel.js";

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

type Reduction = "add" | "max" | "min";

/**
 * Combines each of `values` over the workgroup; every invocation gets all results.
 *
 * With subgroups, each subgroup combines its lanes and workgroup memory holds one partial result per subgroup; without, a tree in
 * workgroup memory halves the invocations step by step. Contains barriers, so the whole workgroup must come here, and ends with
 * one, so that it can be called again. The results are the same in all invocations but not uniform to the verifier.
 */
export function reduceWorkgroup(
  k: KernelBuilder,
  capabilities: Pick<Capabilities, "subgroups">,
  op: Reduction,
  name: string,
  values: readonly Value[],
): readonly Value[] {
  return capabilities.subgroups === undefined
    ? reduceByTree(k, op, name, values)
    : reduceBySubgroups(k, capabilities.subgroups.minSize, op, name, values);
}

function reduceByTree(k: KernelBuilder, op: Reduction, name: string, values: readonly Value[]): readonly Value[] {
  const size = k.workgroupSize;
  const scratch = k.workgroupArray(`${name}_scratch`, values[0]!.type, size * values.length);
  const place = (value: number) => k.localId.add(value * size);
  values.forEach((value, i) => {
    scratch.set(place(i), value);
  });
  k.barrier();
  let active = size;
  while (active > 1) {
    // An odd invocation out keeps its value for the next round.
    const stride = Math.ceil(active / 2);
    k.if(k.localId.lt(active - stride), () => {
      values.forEach((_, i) => {
        scratch.set(place(i), combine(op, scratch.at(place(i)), scratch.at(place(i).add(stride))));
      });
    });
    k.barrier();
    active = stride;
  }
  const results = values.map((_, i) => k.let(name, scratch.at(i * size)));
  k.barrier();
  return results;
}

function reduceBySubgroups(
  k: KernelBuilder,
  minSize: number,
  op: Reduction,
  name: string,
  values: readonly Value[],
): readonly Value[] {
  const slots = Math.ceil(k.workgroupSize / minSize);
  const partials = values.map((value) => subgroupReduce(k, op, `${name}_partial`, value));
  if (slots === 1) return partials;
  const scratch = k.workgroupArray(`${name}_scratch`, values[0]!.type, slots * values.length);
  // Subgroups hold consecutive invocations, as in every implementation with one-dimensional workgroups.
  k.if(k.subgroupLane.eq(0), () => {
    partials.forEach((partial, i) => {
      scratch.set(k.localId.div(k.subgroupSize).add(i * slots), partial);
    });
  });
  k.barrier();
  const results = values.map((_, i) => k.var(name, scratch.at(i * slots)));
  const count = k.let("subgroup_count", k.subgroupSize.add(k.workgroupSize - 1).div(k.subgroupSize));
  k.for("subgroup", { from: 1, to: count }, (subgroup) => {
    results.forEach((result, i) => {
      result.set(combine(op, result, scratch.at(subgroup.add(i * slots))));
    });
  });
  k.barrier();
  return results;
}

function subgroupReduce(k: KernelBuilder, op: Reduction, name: string, value: Value): Value {
  switch (op) {
    case "add":
      return k.subgroupAdd(name, value);
    case "max":
      return k.subgroupMax(name, value);
    case "min":
      return k.subgroupMin(name, value);
  }
}

/** One step of a reduction. */
export function combine(op: Reduction, left: Value, right: Value): Value {
  switch (op) {
    case "add":
      return left.add(right);
    case "max":
      return max(left, right);
    case "min":
      return min(left, right);
  }
}
