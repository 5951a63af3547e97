/**
 * What a workgroup of decode attention takes from the step's own heads.
 *
 * It finishes the queries of its rows before its loop over the keys, and the step's own keys when the loop comes to them. That saves
 * a dispatch, and the step's own keys never pass through the stores, so that no workgroup reads a slot that another one writes. Those
 * that later steps read are written to the stores by one workgroup of each sequence and key head.
 */
import { type KernelBuilder, type Memory, min, select, u32, type Value } from "../../ir/kernel/builder.js";
import { copiesIn, keysOf } from "../group-of-row.js";
import { type NormedRows, type RowFactors, rowFactorBytes, rowFactors } from "../row-factors.js";
import type { FreshToken, HeadReader } from "./fresh-heads.js";
import type { BoundGroup, KeyPlaces } from "./key-ranges.js";
import { type DecodeAttentionOptions, type FreshHeads, rowBlocks } from "./options.js";
import type { QueryBlock } from "./query-block.js";
import { componentsOf, storedUnit } from "./stored-units.js";

export interface OwnHeads {
  /**
   * Computes the factors of norms, if there are any; before all else but `from` of the keys, and with barriers, so that the whole
   * workgroup has to come here. `takesKeys`, the same in all of it, tells whether it finishes keys as well.
   */
  prepare(takesKeys: Value): void;
  /** The finished query of a row of the block, which has to be there. */
  query(row: Value): OwnQuery;
  /** The step's own keys of a group. */
  keys(group: Pick<BoundGroup, "group" | "number">): OwnKeys;
  /** Writes the keys and values of a group that outlive the step to its store. */
  keep(group: BoundGroup, places: KeyPlaces): void;
}

export interface OwnQuery {
  readonly tableRow: Value;
  readonly head: Value;
  /** A vector of it. */
  at(component: Value): Value;
}

export interface OwnKeys {
  /** Index of the first, i32: only keys before it stand in the store. */
  readonly from: Value;
  /** A vector of the finished key, or of the value, of an index from `from` on; not rounded as the store's are. */
  at(half: "key" | "value", index: Value, component: Value): Value;
}

/** Factors of norms: one for each query row of a block, or row of a tile, and one for each copy's key. */
function factorCounts(options: DecodeAttentionOptions, { query, key, order }: FreshHeads) {
  const ofQueries = query.norm?.over === "head" ? rowBlocks(options).blockRows : options.tileRows;
  return { queries: query.norm ? ofQueries : 0, keys: key.norm ? order.length : 0 };
}

/** Bytes of workgroup memory that finishing takes. */
export function ownHeadBytes(options: DecodeAttentionOptions, workgroupSize: number): number {
  if (options.fresh === undefined) return 0;
  const { queries, keys } = factorCounts(options, options.fresh);
  return queries + keys === 0 ? 0 : rowFactorBytes(queries + keys, workgroupSize);
}

interface Context {
  readonly k: KernelBuilder;
  readonly options: DecodeAttentionOptions;
  readonly fresh: FreshHeads;
  readonly reader: HeadReader;
  readonly block: QueryBlock;
  /** The token of a copy at the newest position, which the step computes. */
  readonly token: (copy: Value) => FreshToken;
}

export function ownHeads(
  k: KernelBuilder,
  options: DecodeAttentionOptions,
  fresh: FreshHeads,
  reader: HeadReader,
  block: QueryBlock,
  batch: Value,
): OwnHeads {
  const { key, value, order, entering } = fresh;
  const newest = k.let("newest", block.length.sub(1).toU32());
  const token = (copy: Value): FreshToken => {
    const row = k.let("own_row", placeOf(order, copy).mul(batch).add(block.sequence));
    return { row, pos: newest, copy };
  };
  const context: Context = { k, options, fresh, reader, block, token };
  const counts = factorCounts(options, fresh);
  const norms = counts.queries + counts.keys > 0 ? rowFactors(k, counts.queries + counts.keys) : undefined;
  const factors = norms?.memory;

  const finishedKey = (own: FreshToken, component: Value): Value => {
    const factor = key.norm && k.let("factor", factors!.at(own.copy.add(counts.queries).sub(1)));
    return reader.finished(key, own, block.keyHead, component, factor);
  };
  const plainValue = (own: FreshToken, component: Value): Value =>
    reader.finished({ ...value, rotate: false }, own, block.keyHead, component);

  return {
    prepare: (takesKeys) => {
      if (norms) computeFactors(context, norms, counts, takesKeys);
    },
    query: (row) => ownQuery(context, factors, row),
    keys: ({ group, number }) => {
      const from = k.let(`own_from_${number}`, keysOf(group, block.length.sub(1)));
      return {
        from,
        at: (half, index, component) => {
          const own = token(k.let("copy", index.sub(from).toU32().add(group.firstCopy)));
          return half === "key" ? finishedKey(own, component) : plainValue(own, component);
        },
      };
    },
    keep: ({ group, number, keys }, places) => {
      const entered = order.slice(order.length - entering);
      const here = entered.filter((copy) => copy >= group.firstCopy && copy <= group.lastCopy);
      if (keys === undefined || here.length === 0) return;
      const from = keysOf(group, block.length.sub(1));
      const units = options.width / componentsOf(keys.type);
      const count = k.let(`kept_${number}`, keysOf(group, block.length).sub(from).toU32().mul(units));
      k.for("element", { from: k.localId, to: count, step: k.workgroupSize }, (element) => {
        const place = k.let("place", element.div(units));
        const unit = k.let("component", element.rem(units));
        const copy = k.let("copy", place.add(group.firstCopy));
        const write = () => {
          const own = token(copy);
          const slot = k.let("slot", places.firstSlot(from.add(place.toI32())));
          for (const [half, at] of [
            ["key", finishedKey],
            ["value", plainValue],
          ] as const) {
            const stored = storedUnit(keys, options.cache, reader.vector, unit, (component) => at(own, component));
            keys.set(places[half](slot, u32(0)).add(unit), stored);
          }
        };
        // A copy that does not enter the layer has no key there.
        if (here.length === copiesIn(group)) write();
        else k.if(placeOf(order, copy).ge(order.length - entering), write);
      });
    },
  };
}

function computeFactors(
  { k, options, fresh, reader, block, token }: Context,
  { compute }: RowFactors,
  counts: { readonly queries: number; readonly keys: number },
  takesKeys: Value,
): void {
  const { heads, kvHeads, width } = options;
  const { query, key } = fresh;
  const rows = (columns: typeof key, count: number, ofRow: number, at: NormedRows["at"]): NormedRows => {
    const { over, epsilon } = columns.norm!;
    const length = over === "head" ? width : ofRow * width;
    return { count, width: length, vectors: length / reader.lanes, epsilon, at };
  };
  if (query.norm) {
    const last = block.end.sub(1);
    const ofHead: NormedRows["at"] = (row, index) => {
      const { tableRow, head } = block.split(k.let("row", min(block.first.add(row), last)));
      return reader.raw(query, tableRow, head, index);
    };
    const ofRow: NormedRows["at"] = (row, index) => {
      const tileRow = k.let("tile_row", min(block.firstTileRow.add(row), block.endTileRow.sub(1)));
      return reader.raw(query, block.tableRow(tileRow), undefined, index);
    };
    compute(rows(query, counts.queries, heads, query.norm.over === "head" ? ofHead : ofRow), 0);
  }
  k.barrier();
  if (key.norm) {
    const head = key.norm.over === "head" ? block.keyHead : undefined;
    const at: NormedRows["at"] = (place, index) => reader.raw(key, token(place.add(1)).row, head, index);
    k.if(takesKeys, () => {
      compute(rows(key, counts.keys, kvHeads, at), counts.queries);
      k.barrier();
    });
  }
}

function ownQuery(
  { k, options, fresh: { query }, reader, block }: Context,
  factors: Memory | undefined,
  place: Value,
): OwnQuery {
  const queryRow = k.let("row", block.first.add(place));
  const { tableRow, head: ownHead } = block.split(queryRow);
  const row = k.let("table_row", tableRow);
  const token: FreshToken = {
    row,
    pos: k.let("pos", block.position(row).toU32()),
    copy: k.let("copy", block.copy(row).toU32()),
  };
  const sharing = options.heads / options.kvHeads;
  const factorAt = query.norm?.over === "row" ? queryRow.div(sharing).sub(block.firstTileRow) : place;
  const factor = query.norm && k.let("factor", factors!.at(factorAt));
  const head = k.let("head", ownHead);
  return { tableRow: row, head, at: (component) => reader.finished(query, token, head, component, factor) };
}

/** Place of a copy's rows in the decode table, which has them in an order of the model. */
function placeOf(order: readonly number[], copy: Value): Value {
  if (order.every((own, place) => own === place + 1)) return copy.sub(1);
  return order.reduce<Value>((rest, own, place) => select(copy.eq(own), u32(place), rest), u32(0));
}
