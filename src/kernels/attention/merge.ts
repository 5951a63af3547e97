import {
  buildKernel,
  constantOf,
  exp2,
  f32,
  fma,
  type KernelBuilder,
  type Memory,
  max,
  select,
  u32,
  type Value,
  type Variable,
  vector,
  vectorOf,
} from "../../ir/kernel/builder.js";
import type { Kernel } from "../../ir/kernel/kernel.js";
import { type ValueType, widthOf } from "../../ir/kernel/types.js";
import { rowRange } from "../row-table.js";
import { type AttentionShape, headVector, type MergeOptions, mergedVectors, mergeShares } from "./options.js";
import { leastSum, lowestPeak } from "./score.js";

/** Attention results that still lie in splits. */
export interface Partials {
  /**
   * Component vector `vector` of a row of the merged result [heads × width]; emits the loop over the splits where it is called.
   */
  at(row: Value, vector: Value): Value;
}

/**
 * Binds the partial results of decode attention, for a kernel that takes the merged rows as its input.
 *
 * Every reader merges for itself, so that merging needs no dispatch of its own: the values of a split are read anyway, and the
 * statistics are one small load beside them. `lanes` components make a vector; they divide the width of a head.
 */
export function bindPartials(k: KernelBuilder, shape: AttentionShape, lanes = headVector(shape.width)): Partials {
  const values = k.read("partial_values", vectorOf("f32", lanes), "scratch");
  const stats = k.read("partial_stats", "vec2<f32>", "scratch");
  const splits = k.param("splits");
  return { at: (row, vector) => mergedVector(k, shape, values, stats, splits, row, vector) };
}

/** One pass over the splits by one invocation. */
function mergedVector(
  k: KernelBuilder,
  shape: AttentionShape,
  values: Memory,
  stats: Memory,
  splits: Value,
  row: Value,
  vector: Value,
): Value {
  const sums = emptySums(k, values.type);
  addSplits(k, shape, sums, { values, stats }, { row, vector, splits, from: u32(0), to: splits, step: 1 });
  return finishedValues(k, sums);
}

/** What has been added up, under a running peak like that of the softmax itself. */
interface Sums {
  readonly peak: Variable;
  readonly sum: Variable;
  readonly values: Variable;
}

function emptySums(k: KernelBuilder, type: ValueType): Sums {
  return {
    peak: k.var("peak", f32(lowestPeak)),
    sum: k.var("sum", f32(0)),
    values: k.var("merged", constantOf(type, 0)),
  };
}

interface SplitRun {
  readonly row: Value;
  readonly vector: Value;
  readonly splits: Value;
  /** The splits that are added. */
  readonly from: Value;
  readonly to: Value;
  readonly step: number;
}

function addSplits(
  k: KernelBuilder,
  { heads, width }: AttentionShape,
  sums: Sums,
  { values, stats }: { readonly values: Memory; readonly stats: Memory },
  { row, vector, splits, from, to, step }: SplitRun,
): void {
  const vectors = width / widthOf(values.type);
  const first = k.let("first_split", row.mul(heads).add(vector.div(vectors)).mul(splits));
  const component = k.let("component", vector.rem(vectors));
  k.for("split", { from, to, step }, (split) => {
    const place = k.let("place", first.add(split));
    const part = k.let("part", stats.at(place));
    addPart(k, sums, part.x, part.y, values.at(place.mul(vectors).add(component)));
  });
}

function addPart(k: KernelBuilder, sums: Sums, peak: Value, sum: Value, values: Value): void {
  const higher = k.let("higher", max(sums.peak, peak));
  const kept = k.let("kept", exp2(sums.peak.sub(higher)));
  const weight = k.let("weight", exp2(peak.sub(higher)));
  sums.sum.set(fma(sum, weight, sums.sum.mul(kept)));
  sums.values.set(fma(values, weight, sums.values.mul(kept)));
  sums.peak.set(higher);
}

/** A row that no split found a key for has values 0 and sum 0. */
const finishedValues = (k: KernelBuilder, { sum, values }: Sums): Value =>
  k.let("merged_values", values.div(max(sum, leastSum)));

/**
 * Merges the splits of decode attention into finished rows. The invocations of a workgroup divide the splits of a few neighbouring
 * vectors, so that many splits are loaded side by side.
 */
export function mergePartials(options: MergeOptions): Kernel {
  const { heads, width } = options;
  const lanes = headVector(width);
  const vectors = (heads * width) / lanes;
  return buildKernel(
    `merge_partials_${heads}_w${width}`,
    {
      doc: `Merges the splits of decode attention, ${mergedVectors} vectors of a row a workgroup: ${heads} heads, width ${width}.`,
      dispatch: `x: ceil(${vectors} / ${mergedVectors}) workgroups; y: row_count`,
      workgroupSize: mergedVectors * mergeShares,
    },
    (k) => {
      const type = vectorOf("f32", lanes);
      const values = k.read("partial_values", type, "scratch");
      const stats = k.read("partial_stats", "vec2<f32>", "scratch");
      const attended = k.readWrite("attended", type);
      const splits = k.param("splits");
      const range = rowRange(k);
      const row = k.let("row", range.base.add(k.workgroupId.y));
      const own = k.let("vector", k.workgroupId.x.mul(mergedVectors).add(k.localId.rem(mergedVectors)));
      const share = k.let("share", k.localId.div(mergedVectors));
      const inside = k.let("inside", own.lt(vectors).and(k.workgroupId.y.lt(range.count)));
      const sums = emptySums(k, type);
      const to = k.let("splits_here", select(inside, splits, u32(0)));
      addSplits(k, options, sums, { values, stats }, { row, vector: own, splits, from: share, to, step: mergeShares });

      const shareStats = k.workgroupArray("share_stats", "vec2<f32>", mergedVectors * mergeShares);
      const shareValues = k.workgroupArray("share_values", type, mergedVectors * mergeShares);
      shareStats.set(k.localId, vector("f32", [sums.peak, sums.sum]));
      shareValues.set(k.localId, sums.values);
      k.barrier();
      k.if(inside.and(share.eq(0)), () => {
        k.for("other", { from: u32(1), to: u32(mergeShares) }, (other) => {
          const place = k.let("share_at", other.mul(mergedVectors).add(k.localId));
          const part = k.let("share_part", shareStats.at(place));
          addPart(k, sums, part.x, part.y, shareValues.at(place));
        });
        attended.set(row.mul(vectors).add(own), finishedValues(k, sums));
      });
    },
  );
}
