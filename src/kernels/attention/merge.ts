import {
  buildKernel,
  constantOf,
  exp2,
  f32,
  fma,
  type KernelBuilder,
  type Memory,
  max,
  type Value,
  vectorOf,
} from "../../ir/kernel/builder.js";
import type { Kernel } from "../../ir/kernel/kernel.js";
import { widthOf } from "../../ir/kernel/types.js";
import { rowRange } from "../row-table.js";
import { type AttentionShape, headVector, type MergeOptions, mergeWorkgroupSize } from "./options.js";
import { lowestPeak } from "./score.js";

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

/** One pass over the splits with a running peak, like the softmax itself. */
function mergedVector(
  k: KernelBuilder,
  { heads, width }: AttentionShape,
  values: Memory,
  stats: Memory,
  splits: Value,
  row: Value,
  vector: Value,
): Value {
  const vectors = width / widthOf(values.type);
  const first = k.let("first_split", row.mul(heads).add(vector.div(vectors)).mul(splits));
  const component = k.let("component", vector.rem(vectors));
  const peak = k.var("peak", f32(lowestPeak));
  const sum = k.var("sum", f32(0));
  const merged = k.var("merged", constantOf(values.type, 0));
  k.for("split", { to: splits }, (split) => {
    const place = k.let("place", first.add(split));
    const part = k.let("part", stats.at(place));
    const higher = k.let("higher", max(peak, part.x));
    const kept = k.let("kept", exp2(peak.sub(higher)));
    const weight = k.let("weight", exp2(part.x.sub(higher)));
    sum.set(fma(part.y, weight, sum.mul(kept)));
    merged.set(fma(values.at(place.mul(vectors).add(component)), weight, merged.mul(kept)));
    peak.set(higher);
  });
  // A row that no split found a key for has values 0 and sum 0.
  return k.let("merged_values", merged.div(max(sum, 2 ** -20)));
}

/** Merges the splits of decode attention into finished rows: one invocation per vector of a row. */
export function mergePartials(options: MergeOptions): Kernel {
  const { heads, width } = options;
  const lanes = headVector(width);
  const vectors = (heads * width) / lanes;
  return buildKernel(
    `merge_partials_${heads}_w${width}`,
    {
      doc: `Merges the splits of decode attention, one invocation per vector of a row: ${heads} heads, width ${width}.`,
      dispatch: `x: ceil(${vectors} / ${mergeWorkgroupSize}) workgroups; y: row_count`,
      workgroupSize: mergeWorkgroupSize,
    },
    (k) => {
      const partials = bindPartials(k, options);
      const attended = k.readWrite("attended", vectorOf("f32", lanes));
      const range = rowRange(k);
      const row = k.let("row", range.base.add(k.workgroupId.y));
      k.if(k.globalId.lt(vectors).and(k.workgroupId.y.lt(range.count)), () => {
        attended.set(row.mul(vectors).add(k.globalId), partials.at(row, k.globalId));
      });
    },
  );
}
