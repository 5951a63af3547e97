/**
 * Finishes queries and keys and puts keys and values where attention finds them.
 *
 * One workgroup takes one head of one row: it norms the head (or takes its part of a norm over the whole row), rotates it by halves, and
 * writes a query to the query buffer, a key or a value to the store of its copy's group. Keys of groups that nobody reads go nowhere.
 */

import { buildKernel, f32, type KernelBuilder, type Memory, min, type Value } from "../../ir/kernel/builder.js";
import type { Capabilities } from "../../ir/kernel/capabilities.js";
import type { Kernel } from "../../ir/kernel/kernel.js";
import type { FloatType } from "../../ir/kernel/types.js";
import { belongsTo, type GroupMembers, keyIndex } from "../group-of-row.js";
import { sumOverWorkgroup } from "../reduce.js";
import { rowScale } from "../row-factors.js";
import { keySlots, type Row, type RowTable, rowRange, rowTable } from "../row-table.js";
import { type HeadColumns, headAngle } from "./head-columns.js";

export interface StoreKeysOptions {
  /** Columns of each source buffer; they are bound as `source_0`, `source_1`, … */
  readonly sources: readonly number[];
  readonly heads: number;
  readonly kvHeads: number;
  /** Columns of a head. */
  readonly width: number;
  /** Absent where a step finishes keys only. */
  readonly query?: HeadColumns;
  /** Absent where a step finishes queries only. */
  readonly keys?: {
    readonly key: HeadColumns;
    readonly value: Pick<HeadColumns, "source" | "offset">;
    /** Element type of the stores. */
    readonly element: FloatType;
    /** Groups whose keys are stored; the buffers are bound as `keys_0`, … by the number of the group. */
    readonly groups: readonly (GroupMembers & { readonly group: number })[];
  };
  /** Whether angles also depend on the copy; a second table then holds its share. */
  readonly copyAngles: boolean;
  /** K. */
  readonly copies: number;
  readonly capabilities: Capabilities;
}

const workgroupSize = 32;

export function storeKeys(options: StoreKeysOptions): Kernel {
  const { query, keys, heads, kvHeads } = options;
  const parts = [query && "queries", keys && "keys"].filter(Boolean).join(" and ");
  return buildKernel(
    [
      query ? (keys ? "finish_queries_store_keys" : "finish_queries") : "store_keys",
      `${heads}_${kvHeads}_${options.width}`,
      keys && keys.element !== "f32" && keys.element,
    ]
      .filter(Boolean)
      .join("_"),
    {
      doc: `Norms and rotates ${parts}${keys ? ", and stores keys and values for attention" : ""}. One workgroup per head of a row.`,
      dispatch: `x: ${headsOf(options)} workgroups; y and z: row_count`,
      workgroupSize,
    },
    (k) => body(k, options),
  );
}

/** Workgroups of one row: every query, key and value head. */
export function headsOf({ query, keys, heads, kvHeads }: StoreKeysOptions): number {
  return (query ? heads : 0) + (keys ? 2 * kvHeads : 0);
}

/** Heads of one kind, which a run of workgroups takes. */
interface Part {
  readonly name: string;
  readonly columns: HeadColumns;
  readonly heads: number;
  /** Whether this workgroup has one of them. */
  readonly here: Value;
  readonly head: Value;
  /** Gets every finished element, by its column in the head. */
  readonly write: (each: (store: (column: Value, value: Value) => void) => void) => void;
}

function body(k: KernelBuilder, options: StoreKeysOptions): void {
  const { width, query, keys, sources } = options;
  const rotates = query?.rotate || keys?.key.rotate;
  const norms = query?.norm !== undefined || keys?.key.norm !== undefined;

  const control = k.read("control", "i32", "state");
  const inputs = sources.map((_, index) => k.read(`source_${index}`, "f32"));
  const normWeights = norms ? k.read("norm_weights", "f32", "weight") : undefined;
  const posAngles = rotates ? k.read("pos_angles", "vec2<f32>", "table") : undefined;
  const copyAngles = rotates && options.copyAngles ? k.read("copy_angles", "vec2<f32>", "table") : undefined;
  const queries = query ? k.readWrite("queries", "f32") : undefined;
  const stores = new Map(
    (keys?.groups ?? []).map(({ group }) => [group, k.readWrite(`keys_${group}`, keys!.element, "cache")]),
  );

  const range = rowRange(k);
  const rows = rowTable(k, control);
  const place = k.let("row_place", k.workgroupId.z.mul(k.numWorkgroups.y).add(k.workgroupId.y));
  const inside = k.let("inside", place.lt(range.count));
  const row = k.let("row", range.base.add(place));
  const slot = k.workgroupId.x;
  // Rows beyond the range do not exist in the table; the last one stands in for them.
  const token = namedRow(k, rows, k.let("table_row", min(row, range.base.add(range.count).sub(1))));
  const parts = partsOf(k, options, { token, row, slot, control, queries, stores });

  // The norm's factor, 1 where a head has none.
  const scale = norms ? scaleOf(k, options, parts, inputs, row, inside) : undefined;

  k.if(inside, () => {
    for (const part of parts) {
      const { columns, here, head } = part;
      const input = inputs[columns.source]!;
      k.if(here, () => {
        const start = k.let("start", row.mul(sources[columns.source]!).add(columns.offset).add(head.mul(width)));
        const gainAt = columns.norm?.over === "row" ? head.mul(width) : undefined;
        const finished = (column: Value): Value => {
          const raw = input.at(start.add(column));
          if (columns.norm === undefined) return raw;
          const gain = gainAt ? gainAt.add(column) : column;
          return raw.mul(scale!).mul(normWeights!.at(gain.add(columns.norm.weightAt)));
        };
        part.write((store) => {
          if (!columns.rotate) {
            k.for("column", { from: k.localId, to: width, step: workgroupSize }, (column) =>
              store(column, finished(column)),
            );
            return;
          }
          const half = width / 2;
          k.for("pair", { from: k.localId, to: half, step: workgroupSize }, (pair) => {
            const { cos, sin } = headAngle(k, token, pair, half, posAngles!, copyAngles);
            const a = k.let("a", finished(pair));
            const b = k.let("b", finished(pair.add(half)));
            store(pair, a.mul(cos).sub(b.mul(sin)));
            store(pair.add(half), b.mul(cos).add(a.mul(sin)));
          });
        });
      });
    }
  });
}

/** The coordinates of a row, each loaded once. */
function namedRow(k: KernelBuilder, rows: RowTable, row: Value): Omit<Row, "id"> {
  const { sequence, pos, copy } = rows.at(row);
  return { sequence: k.let("sequence", sequence), pos: k.let("pos", pos), copy: k.let("copy", copy) };
}

interface Places {
  readonly token: Omit<Row, "id">;
  readonly row: Value;
  readonly slot: Value;
  readonly control: Memory;
  readonly queries: Memory | undefined;
  readonly stores: ReadonlyMap<number, Memory>;
}

function partsOf(k: KernelBuilder, options: StoreKeysOptions, places: Places): Part[] {
  const { heads, kvHeads, width, query, keys } = options;
  const { row, slot } = places;
  const parts: Part[] = [];
  const queryHeads = query ? heads : 0;
  if (query) {
    parts.push({
      name: "query",
      columns: query,
      heads,
      here: slot.lt(heads),
      head: slot,
      write: (each) => {
        const start = k.let("query_start", row.mul(heads).add(slot).mul(width));
        each((column, value) => places.queries!.set(start.add(column), value));
      },
    });
  }
  if (keys) {
    const first = keys.groups.map(({ group }) => group);
    const slots = first.length > 0 ? keySlots(k, places.control, first, kvHeads * width) : undefined;
    const sequence = places.token.sequence;
    const part = (name: string, half: 0 | 1, columns: HeadColumns): Part => {
      const before = queryHeads + half * kvHeads;
      const head = slot.sub(before);
      return {
        name,
        columns,
        heads: kvHeads,
        here: before === 0 ? slot.lt(kvHeads) : slot.ge(before).and(slot.lt(before + kvHeads)),
        head,
        write: (each) => {
          for (const { group, ...members } of keys.groups) {
            const write = () => {
              const index = k.let("index", keyIndex(members, places.token));
              const start = k.let("key_start", slots!.at(half, group, sequence, index).add(head.mul(width)));
              each((column, value) => places.stores.get(group)!.set(start.add(column), value.to(keys.element)));
            };
            const member = belongsTo(members, places.token, options.copies);
            if (member === undefined) write();
            else k.if(member, write);
          }
        },
      };
    };
    parts.push(part("key", 0, keys.key), part("value", 1, { ...keys.value, rotate: false }));
  }
  return parts;
}

/** Reads what a norm covers and gives the factor of this workgroup's head. */
function scaleOf(
  k: KernelBuilder,
  options: StoreKeysOptions,
  parts: readonly Part[],
  inputs: readonly Memory[],
  row: Value,
  inside: Value,
): Value {
  const squares = k.var("squares", f32(0));
  for (const { columns, here, head, heads } of parts) {
    const { norm, source, offset } = columns;
    if (norm === undefined) continue;
    k.if(inside.and(here), () => {
      const start = row.mul(options.sources[source]!).add(offset);
      const first = k.let("first", norm.over === "row" ? start : start.add(head.mul(options.width)));
      const length = norm.over === "row" ? heads * options.width : options.width;
      k.for("column", { from: k.localId, to: length, step: workgroupSize }, (column) => {
        const x = k.let("x", inputs[source]!.at(first.add(column)));
        squares.set(squares.add(x.mul(x)));
      });
    });
  }
  const total = sumOverWorkgroup(k, [squares], options.capabilities);
  const scale = k.var("scale", f32(1));
  for (const { columns, here, heads } of parts) {
    const { norm } = columns;
    if (norm === undefined) continue;
    const length = norm.over === "row" ? heads * options.width : options.width;
    k.if(here, () => scale.set(rowScale(total.at(0), length, norm.epsilon)));
  }
  return scale;
}
