import type { HeadNorm, HeadSlice, StoreKeys } from "../../ir/graph/ops.js";
import { hasPlainEpilogue } from "./epilogues.js";
import { defineFusion, type Producers } from "./producers.js";

/**
 * Storing keys also norms and rotates them, and the queries.
 *
 * Before: `%n = norm %k {heads = 2}`, `%r = rotate %n`, `store-keys {key = %r, …}`.
 * After:  `store-keys {key = %k, keyNorm = …, keyRope = …}`.
 *
 * Storing norms first and rotates second, so a rotation is taken before a norm. Whatever else stands in between stays where it is.
 */
export const finishKeys = defineFusion("finish-keys", "store-keys", (store, producers) => {
  const query = finished(store.query, producers);
  const key = finished(store.key, producers);
  return {
    ...store,
    query: query.slice,
    ...(query.rope && { queryRope: query.rope }),
    ...(query.norm && { queryNorm: query.norm }),
    key: key.slice,
    ...(key.rope && { keyRope: key.rope }),
    ...(key.norm && { keyNorm: key.norm }),
  };
});

interface Finished {
  readonly slice: HeadSlice;
  readonly norm?: HeadNorm;
  readonly rope?: StoreKeys["keyRope"];
}

function finished(slice: HeadSlice, producers: Producers): Finished {
  const rotate = producers.ofOnly(slice.value, "rotate");
  const rope = rotate && { frequencies: rotate.frequencies, index: rotate.index, amplitude: rotate.amplitude };
  const rotated = rotate === undefined ? slice : { ...slice, value: rotate.input };

  const norm = producers.ofOnly(rotated.value, "norm");
  const over = norm?.heads === slice.heads ? "head" : (norm?.heads ?? 1) === 1 ? "row" : undefined;
  // A norm over heads of another width, or without weight, is not what storing does.
  if (norm?.weight === undefined || over === undefined || !hasPlainEpilogue(norm)) return { slice: rotated, rope };
  // With a single head both mean the same; the narrower word needs no reduction across heads.
  const headNorm: HeadNorm = { weight: norm.weight, epsilon: norm.epsilon, over: slice.heads === 1 ? "head" : over };
  return { slice: { ...rotated, value: norm.input }, rope, norm: headNorm };
}
