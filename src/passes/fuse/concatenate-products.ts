import type { BlockBuilder } from "../../ir/graph/builder.js";
import type { FusedLinear, HeadSlice, RowClass, StoreKeys, ValueId } from "../../ir/graph/ops.js";
import { accumulator, isPlainProduct } from "./epilogues.js";
import { defineFusion, type Producers } from "./producers.js";

/**
 * Query, key and value projections of the same input become one pass over the stacked matrices.
 *
 * Before: `%q`, `%k`, `%v` = fused-linear %h, read by `store-keys` alone.
 * After:  `%qkv = fused-linear %h {weights = [q, k, v], columnRows = [query, input, input]}`, and `store-keys` takes columns of it.
 *
 * `columnRows` keeps what is known about each part: in a last layer few rows need the query's columns.
 */
export const concatenateProducts = defineFusion("concatenate-products", "store-keys", (store, producers, build) => {
  const groups = new Map<ValueId, Map<ValueId, FusedLinear>>();
  for (const { value } of [store.query, store.key, store.value]) {
    const product = producers.ofOnly(value, "fused-linear");
    if (product === undefined || !isPlainProduct(product)) continue;
    const group = groups.get(product.input) ?? new Map<ValueId, FusedLinear>();
    groups.set(product.input, group.set(value, product));
  }
  let result: StoreKeys = store;
  for (const group of groups.values()) if (group.size >= 2) result = concatenated(result, group, producers, build);
  return result;
});

function concatenated(
  store: StoreKeys,
  group: ReadonlyMap<ValueId, FusedLinear>,
  producers: Producers,
  build: BlockBuilder,
): StoreKeys {
  const products = [...group.values()];
  const columnRows = products.map(({ rows }): RowClass => rows ?? "input");
  const stacked = build.add(
    {
      kind: "fused-linear",
      input: products[0]!.input,
      weights: products.map(({ weights }) => weights[0]!),
      biases: products.map(({ biases }) => biases[0]),
      combine: "concatenate",
      epilogue: accumulator(0),
      columnRows,
      rows: columnRows.includes("input") ? "input" : "query",
      origin: products[0]!.origin,
    },
    products.map(({ weights }) => producers.nameOf(weights[0]!)).join("_"),
  );
  const offsets = new Map<ValueId, number>();
  let column = 0;
  for (const [value, { results }] of group) {
    offsets.set(value, column);
    column += Number(results[0]!.type.shape[1]);
  }
  const moved = (slice: HeadSlice): HeadSlice => {
    const offset = offsets.get(slice.value);
    return offset === undefined ? slice : { ...slice, value: stacked, offset: offset + slice.offset };
  };
  return { ...store, query: moved(store.query), key: moved(store.key), value: moved(store.value) };
}
