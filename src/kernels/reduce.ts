/** Sums over a workgroup, through subgroups where the device has them and few values are summed. */

import { f32, type KernelBuilder, type Memory, u32, type Value } from "../ir/kernel/builder.js";
import type { Capabilities } from "../ir/kernel/capabilities.js";

/**
 * A subgroup sum costs every lane a handful of shuffles per value, workgroup memory a store and its share of the additions: with many
 * values the memory is cheaper.
 */
const mostSubgroupValues = 24;

/** Bytes of workgroup memory; more would take the place of other workgroups. */
const mostMemory = 16384;

/** Workgroup memory left to the kernel around a reduction, in bytes. */
const reserve = 1536;

/**
 * Sums each of `values` over the invocations of the workgroup. The totals stand in the returned workgroup array, in order, visible to
 * all invocations. Must be reached by the whole workgroup.
 */
export function sumOverWorkgroup(k: KernelBuilder, values: readonly Value[], capabilities: Capabilities): Memory {
  return capabilities.subgroups !== undefined && values.length <= mostSubgroupValues
    ? sumBySubgroups(k, values, capabilities.subgroups.minSize)
    : sumInMemory(k, values, Math.min(capabilities.limits.maxWorkgroupMemory, mostMemory));
}

function sumBySubgroups(k: KernelBuilder, values: readonly Value[], minSize: number): Memory {
  const count = values.length;
  const most = Math.max(1, Math.ceil(k.workgroupSize / minSize));
  const totals = k.workgroupArray("totals", "f32", count);
  const partial = k.workgroupArray("subgroup_sums", "f32", most * count);
  const sums = values.map((value, index) => k.subgroupAdd(`sum_${index}`, value));
  const subgroup = k.let("subgroup", k.localId.div(k.subgroupSize));
  k.if(k.subgroupLane.eq(0), () => {
    sums.forEach((sum, index) => {
      partial.set(subgroup.mul(count).add(index), sum);
    });
  });
  k.barrier();
  const subgroups = k.let(
    "subgroups",
    u32(k.workgroupSize - 1)
      .div(k.subgroupSize)
      .add(1),
  );
  eachOwn(k, count, (index) => {
    const total = k.var("total", f32(0));
    k.for("part", { to: subgroups }, (part) => total.set(total.add(partial.at(part.mul(count).add(index)))));
    totals.set(index, total);
  });
  k.barrier();
  return totals;
}

/**
 * Every invocation stores its values. Then as many invocations as there are for each value add up slices of it, and one of them the
 * slices. Padded rows keep the additions off one memory bank.
 */
function sumInMemory(k: KernelBuilder, values: readonly Value[], memory: number): Memory {
  const size = k.workgroupSize;
  const stride = size + 1;
  const free = memory - reserve - 4 * (values.length + size);
  const perRound = Math.max(1, Math.min(values.length, Math.floor(free / (4 * stride))));
  const totals = k.workgroupArray("totals", "f32", values.length);
  const partial = k.workgroupArray("partial_sums", "f32", perRound * stride);
  const adders = addersOf(size, perRound);
  const slices = adders > 1 ? k.workgroupArray("slice_sums", "f32", perRound * adders) : undefined;
  const sumOf = (from: Value, to: Value | number, step: number, at: (index: Value) => Value): Value => {
    const total = k.var("total", f32(0));
    k.for("part", { from, to, step }, (part) => total.set(total.add(at(part))));
    return total;
  };
  for (let first = 0; first < values.length; first += perRound) {
    const round = values.slice(first, first + perRound);
    if (first > 0) k.barrier();
    round.forEach((value, index) => {
      partial.set(k.localId.add(index * stride), value);
    });
    k.barrier();
    if (slices) {
      eachOwn(k, round.length * adders, (own) => {
        const row = k.let("sum_row", own.div(adders).mul(stride));
        slices.set(
          own,
          sumOf(own.rem(adders), size, adders, (part) => partial.at(row.add(part))),
        );
      });
      k.barrier();
    }
    eachOwn(k, round.length, (index) => {
      const at = (part: Value) =>
        slices ? slices.at(index.mul(adders).add(part)) : partial.at(index.mul(stride).add(part));
      totals.set(index.add(first), sumOf(u32(0), slices ? adders : size, 1, at));
    });
  }
  k.barrier();
  return totals;
}

/**
 * Invocations that share the additions of one value: a power of two, so that they are found by shifts, and about the root of `size` at
 * most, because one invocation adds up what they leave.
 */
function addersOf(size: number, values: number): number {
  return 2 ** Math.max(0, Math.floor(Math.min(Math.log2(size / values), Math.log2(size) / 2)));
}

/** Spreads `count` pieces of work over the invocations. */
export function eachOwn(k: KernelBuilder, count: number, body: (index: Value) => void): void {
  if (count === k.workgroupSize) body(k.localId);
  else if (count < k.workgroupSize) k.if(k.localId.lt(count), () => body(k.localId));
  else k.for("own", { from: k.localId, to: u32(count), step: k.workgroupSize }, body);
}
