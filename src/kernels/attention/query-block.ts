/**
 * The query rows of one attention workgroup.
 *
 * A query row is one head of one row of the table; the rows of a tile stand next to each other, the heads that share a key head
 * innermost: query row m is head `m mod sharing` of the tile's row `m div sharing`.
 */
import { type KernelBuilder, type Memory, min, type Value } from "../../ir/kernel/builder.js";
import type { AttentionOptions } from "./options.js";
import { rowBlocks } from "./options.js";

export interface QueryBlock {
  readonly sequence: Value;
  readonly keyHead: Value;
  /** Positions of the sequence that are known: no key lies beyond. */
  readonly length: Value;
  /** First query row of the block within its tile, and one past the last that exists. */
  readonly first: Value;
  readonly end: Value;
  /** One past the last row of the tile that has query rows in the block; the first is `first div sharing`. */
  readonly firstTileRow: Value;
  readonly endTileRow: Value;
  /** Row of the table that a row of the tile stands at. */
  tableRow(tileRow: Value): Value;
  /** Where a row of the table stands: i32. */
  position(tableRow: Value): Value;
  copy(tableRow: Value): Value;
  /** The row of the table and the head of a query row. */
  split(queryRow: Value): { readonly tableRow: Value; readonly head: Value };
  /** A word of the sequence's control record. */
  sequenceWord(index: number): Value;
}

/** Query row r of the block: rows beyond the end repeat the last one, so that loads stay inside. */
export function clampToBlock(block: QueryBlock, row: Value): Value {
  return min(block.first.add(row), block.end.sub(1));
}

export function queryBlock(k: KernelBuilder, control: Memory, options: AttentionOptions): QueryBlock {
  const sharing = options.heads / options.kvHeads;
  const { blocks, blockRows } = rowBlocks(options);
  const tileBase = k.param("tile_base");
  const rowsAt = k.param("rows_at");
  const tilesAt = k.param("tiles_at");
  const sequencesAt = k.param("sequences_at");
  const sequenceStride = k.param("sequence_stride");

  const tile = k.let("tile_record", tilesAt.add(tileBase.add(k.workgroupId.x).mul(4)));
  const firstTableRow = k.let("tile_first", control.at(tile).toU32());
  const tileRows = k.let("tile_rows", control.at(tile.add(1)).toU32());
  const stride = k.let("tile_stride", control.at(tile.add(2)).toU32());
  const sequence = k.let("sequence", control.at(tile.add(3)).toU32());
  const record = k.let("sequence_record", sequencesAt.add(sequence.mul(sequenceStride)));
  const length = k.let("length", control.at(record));

  const keyHead = blocks === 1 ? k.workgroupId.y : k.let("key_head", k.workgroupId.y.div(blocks));
  const first =
    blocks === 1
      ? k.let("first_row", k.workgroupId.y.mul(0))
      : k.let("first_row", k.workgroupId.y.rem(blocks).mul(blockRows));
  const end = k.let("end_row", min(first.add(blockRows), tileRows.mul(sharing)));
  const tableRow = (tileRow: Value) => firstTableRow.add(tileRow.mul(stride));
  return {
    sequence,
    keyHead,
    length,
    first,
    end,
    firstTileRow: first.div(sharing),
    endTileRow: k.let("end_tile_row", end.add(sharing - 1).div(sharing)),
    tableRow,
    position: (row) => control.at(rowsAt.add(row.mul(4)).add(1)),
    copy: (row) => control.at(rowsAt.add(row.mul(4)).add(2)),
    split: (row) => ({ tableRow: tableRow(row.div(sharing)), head: keyHead.mul(sharing).add(row.rem(sharing)) }),
    sequenceWord: (index) => control.at(record.add(index)),
  };
}
