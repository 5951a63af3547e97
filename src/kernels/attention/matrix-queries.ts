/** How the queries of attention on matrix units get into registers, as left operands of 16 rows. */
import {
  constantOf,
  type KernelBuilder,
  type Memory,
  packHalves,
  type Value,
  vector,
  vectorOf,
} from "../../ir/kernel/builder.js";
import { times } from "../times.js";
import { headWord } from "./head-words.js";
import type { MatrixTileContext } from "./matrix-keys.js";
import { cacheFormat, invocationsOf } from "./matrix-tiling.js";
import type { OwnHeads } from "./own-heads.js";

export interface OperandPlaces {
  readonly lane: Value;
  readonly rowTile: Value;
  /** Query rows that the lane holds components of: number `lane / 4` of the row tile, and eight further on. */
  readonly rows: readonly Value[];
}

/** One left operand for each step along the head. */
export type QueryOperands = (places: OperandPlaces) => Value[];

/** Queries that a step before has finished, [rows][heads × width]. */
export function storedQueries({ k, options, tiling, block }: MatrixTileContext, query: Memory): QueryOperands {
  const { heads, width } = options;
  const format = cacheFormat(options);
  return ({ lane, rows }) => {
    const starts = rows.map((row) => {
      const { tableRow, head } = block.split(row);
      return k.let("query_at", tableRow.mul(heads).add(head).mul(width));
    });
    const pair = k.let("pair", lane.rem(4).mul(2));
    return times(tiling.depth, (step) => {
      const loaded = [0, 8].flatMap((right) =>
        starts.map((start) => queryPair(k, width, query, start, pair.add(step * 16 + right))),
      );
      const operand = loaded.map((own) => packHalves(format, own));
      return k.let("query_operand", vector("u32", operand));
    });
  };
}

/** Components `component` and the next of a query, zeros behind the end of the head. */
function queryPair(k: KernelBuilder, width: number, query: Memory, start: Value, component: Value): Value {
  const unit = query.type === "f32" ? 1 : 2;
  const load = (own: Value) => {
    if (width % 16 === 0) return k.let("q", query.at(start.add(own).div(unit)));
    const loaded = k.var("q", constantOf(vectorOf("f32", unit), 0));
    k.if(own.lt(width), () => loaded.set(query.at(start.add(own).div(unit))));
    return loaded;
  };
  return unit === 2 ? load(component) : vector("f32", [load(component), load(component.add(1))]);
}

/**
 * Finishes the queries of the block into workgroup memory, rows of words like keys; a barrier must follow. Zeros stand for rows behind
 * the end of the block.
 */
export function finishQueries({ k, options, tiling, block, tiles }: MatrixTileContext, own: OwnHeads): void {
  const { depth, keyStride, rowTiles } = tiling;
  const rowWords = 2 * depth;
  const count = rowTiles * 16 * rowWords;
  k.for("word", { from: k.localId, to: count, step: invocationsOf(tiling) }, (word) => {
    const row = k.let("query_row", word.div(rowWords));
    const part = k.let("part", word.rem(rowWords));
    const finished = headWord(k, options.width, cacheFormat(options), {
      ...{ part, there: block.first.add(row).lt(block.end) },
      head: () => own.query(row).at,
    });
    tiles.memory.set(row.mul(keyStride).add(part).add(tiles.queriesAt), finished);
  });
}

/** Queries that `finishQueries` left in workgroup memory. */
export function finishedQueries({ k, tiling, tiles }: MatrixTileContext): QueryOperands {
  const { depth, keyStride } = tiling;
  return ({ lane, rowTile }) => {
    const row = rowTile.mul(16).add(lane.rem(16));
    const place = k.let("query_at", row.mul(keyStride).add(lane.div(16)).add(tiles.queriesAt));
    return times(depth, (step) => k.matrixLoad("query_operand", tiles.memory, place.add(2 * step), 4));
  };
}
