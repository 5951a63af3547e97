/** Sums over the lanes of each group of a workgroup, through memory that the groups have used for something else before. */
import { constantOf, type KernelBuilder, type Memory, u32, type Value } from "../../ir/kernel/builder.js";
import { eachOwn } from "../reduce.js";
import type { SkinnyDivision } from "./skinny-options.js";

/** Invocations that share the additions of one sum. */
const mostAdders = 8;

/**
 * Adds vectors of four values up, each over the lanes of a group. The total of vector `index` in group `group` stands at
 * `index * groups + group` of the array that is returned, visible to all. Must be reached by the whole workgroup.
 *
 * @param memory as many vectors as `room` says, which nothing reads any more once the workgroup is here
 */
export function sumOverLanes(
  k: KernelBuilder,
  vectors: readonly Value[],
  { groups, lanes }: SkinnyDivision,
  memory: Memory,
  room: number,
): Memory {
  const atOnce = Math.floor(room / k.workgroupSize);
  const adders = Math.min(mostAdders, lanes);
  const totals = k.workgroupArray("totals", memory.type, vectors.length * groups);
  const slices = k.workgroupArray("slice_sums", memory.type, atOnce * groups * adders);
  const sumOf = (from: Value, to: number, step: number, at: (index: Value) => Value): Value => {
    const total = k.var("total", constantOf(memory.type, 0));
    k.for("part", { from, to: u32(to), step }, (part) => total.set(total.add(at(part))));
    return total;
  };
  for (let first = 0; first < vectors.length; first += atOnce) {
    const round = vectors.slice(first, first + atOnce);
    // Whoever is here has seen the barrier of the round before, so its partial sums have been read.
    if (first === 0) k.barrier();
    round.forEach((vector, index) => {
      memory.set(k.localId.add(index * k.workgroupSize), vector);
    });
    k.barrier();
    eachOwn(k, round.length * groups * adders, (own) => {
      const start = k.let("lanes_at", own.div(adders).mul(lanes));
      slices.set(
        own,
        sumOf(own.rem(adders), lanes, adders, (part) => memory.at(start.add(part))),
      );
    });
    k.barrier();
    eachOwn(k, round.length * groups, (own) => {
      const sum = sumOf(u32(0), adders, 1, (part) => slices.at(own.mul(adders).add(part)));
      totals.set(own.add(first * groups), sum);
    });
  }
  k.barrier();
  return totals;
}
