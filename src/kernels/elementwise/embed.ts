import {
  buildKernel,
  type KernelBuilder,
  type Memory,
  select,
  u32,
  unpackHalves,
  type Value,
  vectorOf,
} from "../../ir/kernel/builder.js";
import type { HalfFormat } from "../../ir/kernel/expressions.js";
import type { Kernel } from "../../ir/kernel/kernel.js";
import type { FloatType } from "../../ir/kernel/types.js";
import { halfFormat } from "../linear/matrix-fragments.js";
import { vectorWidth } from "../linear/options.js";
import { flatWorkgroup, rowRange, rowTable } from "../row-table.js";

export interface EmbedOptions {
  /** Length of a table row. */
  readonly width: number;
  /** Element type of the table. */
  readonly element: FloatType;
  /** Whether the table lies in tiles, because a product reads it too. */
  readonly fragments?: boolean;
  /** The rows of a decode step: all copies of one token per sequence, `batch` rows apart. One invocation then writes all of them. */
  readonly oneTokenEach?: boolean;
}

/** Components of a row that one invocation takes; in tiles, neighbours stand together in pairs. */
export function embedVector({ width, fragments = false }: EmbedOptions): 1 | 2 | 4 {
  return fragments ? (width % 2 === 0 ? 2 : 1) : vectorWidth(width);
}

const workgroupSize = 64;

/**
 * Gathers the embedding of every row's token. One invocation per vector of a row; in a decode step per vector of a sequence's token, so
 * that the table is read once for all copies.
 *
 * The table may be bound in parts: `part_base` is the first id of this one, and rows with other ids are left alone.
 */
export function embed(options: EmbedOptions): Kernel {
  const { width, element, fragments = false, oneTokenEach = false } = options;
  const lanes = embedVector(options);
  const vectors = width / lanes;
  return buildKernel(
    ["embed", width, element !== "f32" && element, fragments && "fragments", oneTokenEach && "once"]
      .filter(Boolean)
      .join("_"),
    {
      doc: oneTokenEach
        ? "Gathers the embedding of every sequence's token for all of its copies. One invocation per vector of the table."
        : "Gathers the embedding of every row's token; all copies of a token gather the same row. One invocation per vector.",
      dispatch: `ceil(${oneTokenEach ? "batch" : "row_count"} * ${vectors} / ${workgroupSize}) workgroups over x and y`,
      workgroupSize,
    },
    (k) => {
      const control = k.read("control", "i32", "state");
      const table = k.read("weight", fragments ? "u32" : vectorOf(element, lanes), "weight");
      const output = k.readWrite("output", vectorOf("f32", lanes));
      const range = rowRange(k);
      const rows = rowTable(k, control);
      const partBase = k.param("part_base");
      const partRows = k.param("part_rows");
      const tokens = oneTokenEach ? k.param("batch") : range.count;

      const index = k.let("index", flatWorkgroup(k).mul(workgroupSize).add(k.localId));
      k.if(index.lt(tokens.mul(vectors)), () => {
        const row = k.let("row", range.base.add(index.div(vectors)));
        const vector = k.let("vector", index.rem(vectors));
        const id = k.let("id", rows.at(row).id);
        k.if(id.ge(partBase).and(id.lt(partBase.add(partRows))), () => {
          const own = id.sub(partBase);
          const found = fragments
            ? fromFragments(k, table, halfFormat(options), own, vector.mul(lanes), width)
            : table.at(own.mul(vectors).add(vector)).toF32();
          const write = (to: Value, value: Value) => output.set(to.mul(u32(vectors)).add(vector), value);
          if (!oneTokenEach) return write(row, lanes === 1 ? found.component(0) : found);
          const value = k.let("value", lanes === 1 ? found.component(0) : found);
          k.for("copy", { from: row, to: range.base.add(range.count), step: tokens }, (copy) => write(copy, value));
        });
      });
    },
  );
}

/** The pair that an element of a table in tiles belongs to (see `WeightInfo.layout`); a single element comes first. */
function fromFragments(
  k: KernelBuilder,
  table: Memory,
  format: HalfFormat,
  row: Value,
  column: Value,
  width: number,
): Value {
  const tiles = Math.ceil(width / 16);
  const tile = k.let("tile", row.div(16).mul(tiles).add(column.div(16)));
  const lane = k.let("lane", row.rem(8).mul(4).add(column.rem(8).div(2)));
  const below = select(row.rem(16).ge(8), u32(1), u32(0));
  const right = select(column.rem(16).ge(8), u32(2), u32(0));
  const word = k.let("word", table.at(tile.mul(128).add(lane.mul(4)).add(below).add(right)));
  const pair = k.let("pair_of_elements", unpackHalves(format, word));
  // Only rows of odd width take single elements, and those at odd columns stand second.
  return width % 2 === 0 ? pair : select(column.rem(2).eq(1), pair.y, pair.x);
}
