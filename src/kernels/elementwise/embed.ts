import { buildKernel, u32 } from "../../ir/kernel/builder.js";
import type { Kernel } from "../../ir/kernel/kernel.js";
import type { FloatType } from "../../ir/kernel/types.js";
import { vectorType, vectorWidth } from "../linear/options.js";
import { flatWorkgroup, rowRange, rowTable } from "../row-table.js";

export interface EmbedOptions {
  /** Length of a table row. */
  readonly width: number;
  /** Element type of the table. */
  readonly element: FloatType;
}

const workgroupSize = 64;

/**
 * Gathers the embedding of every row's token. All copies of a token gather the same row. One invocation per vector.
 *
 * The table may be bound in parts: `part_base` is the first id of this one, and rows with other ids are left alone.
 */
export function embed({ width, element }: EmbedOptions): Kernel {
  const vectors = width / vectorWidth(width);
  return buildKernel(
    `embed_${width}${element === "f32" ? "" : `_${element}`}`,
    {
      doc: "Gathers the embedding of every row's token; all copies of a token gather the same row. One invocation per vector.",
      dispatch: `ceil(row_count * ${vectors} / ${workgroupSize}) workgroups over x and y`,
      workgroupSize,
    },
    (k) => {
      const control = k.read("control", "i32", "state");
      const table = k.read("weight", vectorType(element, width), "weight");
      const output = k.readWrite("output", vectorType("f32", width));
      const range = rowRange(k);
      const rows = rowTable(k, control);
      const partBase = k.param("part_base");
      const partRows = k.param("part_rows");

      const index = k.let("index", flatWorkgroup(k).mul(workgroupSize).add(k.localId));
      k.if(index.lt(range.count.mul(vectors)), () => {
        const row = k.let("row", range.base.add(index.div(vectors)));
        const vector = k.let("vector", index.rem(vectors));
        const id = k.let("id", rows.at(row).id);
        k.if(id.ge(partBase).and(id.lt(partBase.add(partRows))), () => {
          output.set(row.mul(u32(vectors)).add(vector), table.at(id.sub(partBase).mul(vectors).add(vector)).toF32());
        });
      });
    },
  );
}
