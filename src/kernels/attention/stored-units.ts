/** The elements that a key store is bound as, and how finished heads are written to them. */
import { type Memory, packHalves, type Value, vector } from "../../ir/kernel/builder.js";
import { type FloatType, type ValueType, widthOf } from "../../ir/kernel/types.js";
import { times } from "../times.js";
import { cacheFormat } from "./matrix-tiling.js";

/** Components in an element: words of integers hold two halves each. */
export function componentsOf(type: ValueType): number {
  return type === "u32" || type === "vec4<u32>" ? 2 * widthOf(type) : widthOf(type);
}

/**
 * Element `unit` of a head, rounded as the store is.
 *
 * @param wide components of the vectors that `at` gives: as many as an element has, or 2 where it is made of words
 */
export function storedUnit(
  store: Memory,
  cache: FloatType,
  wide: number,
  unit: Value,
  at: (component: Value) => Value,
): Value {
  const vectors = componentsOf(store.type) / wide;
  if (store.type !== "u32" && store.type !== "vec4<u32>") return at(unit).to(cache);
  const words = times(vectors, (index) => packHalves(cacheFormat({ cache }), at(unit.mul(vectors).add(index))));
  return words.length === 1 ? words[0]! : vector("u32", words);
}
