import { f32, type KernelBuilder, u32, type Value } from "../../ir/kernel/builder.js";

/** Sums over the workgroup that share one piece of workgroup memory. */
export interface Sums {
  /** The total of each value over all invocations, in a fixed order of additions. Reached by the whole workgroup. */
  of(values: readonly Value[]): Value[];
}

/** Makes room for sums of up to `most` values at a time. */
export function workgroupSums(k: KernelBuilder, most: number): Sums {
  const size = k.workgroupSize;
  const runs = 2 ** Math.floor(Math.log2(size) / 2);
  const all = k.workgroupArray("own_sums", "f32", most * size);
  const ofRuns = k.workgroupArray("run_sums", "f32", most * runs);
  return {
    of(values) {
      for (const [index, value] of values.entries()) all.set(k.localId.add(index * size), value);
      k.barrier();
      k.if(k.localId.lt(runs * values.length), () => {
        const first = k.localId.div(runs).mul(size).add(k.localId.rem(runs));
        const sum = k.var("run_sum", f32(0));
        k.for("entry", { to: u32(size / runs) }, (entry) => {
          sum.set(sum.add(all.at(first.add(entry.mul(runs)))));
        });
        ofRuns.set(k.localId, sum);
      });
      k.barrier();
      return values.map((_, index) => {
        const total = k.var("total", f32(0));
        k.for("run", { to: u32(runs) }, (run) => total.set(total.add(ofRuns.at(run.add(index * runs)))));
        return total;
      });
    },
  };
}
