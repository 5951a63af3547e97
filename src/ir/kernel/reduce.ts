import type { KernelBuilder } from "./builder.js";
import type { Capabilities } from "./capabilities.js";
import { bytesOf } from "./types.js";
import { max, min, type Value } from "./value.js";

export type Reduction = "add" | "max" | "min";

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

/** Bytes of workgroup memory that `reduceWorkgroup` takes. */
export function reductionMemory(
  workgroupSize: number,
  capabilities: Pick<Capabilities, "subgroups">,
  values: readonly Value[],
): number {
  const slots = workgroupSize / (capabilities.subgroups?.minSize ?? 1);
  return values.reduce((bytes, value) => bytes + bytesOf(value.type) * Math.ceil(slots), 0);
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
