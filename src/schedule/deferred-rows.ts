/**
 * In how many rows a product on matrix units computes a norm that was left to it.
 *
 * There every workgroup reads two rows where it would read one that is finished: the branch, and what it is added to. The norm by itself
 * costs a dispatch whatever the number of rows: a graph takes more than a microsecond from one kernel to the next, and the norm waits for
 * loads of its row twice. So few rows are left to the product, and many are not.
 *
 * Rows come from the second-level cache, as weights do on their way from memory. Memory is slower, and what the cache gives
 * while it waits for weights costs no time.
 */
import { matrixSkinnyColumns, matrixSkinnyRows } from "../kernels/linear/matrix-skinny.js";
import { times } from "../kernels/times.js";
import type { Quantisation } from "../runtime/manifest.js";
import type { ProductShape } from "./deferred-norms.js";

/** Bytes that the cache of a large GPU gives in a microsecond and a half. */
const affordableBytes = 2 ** 23;
/** How much faster that cache is than memory. */
const cacheOverMemory = 5 / 3;

/** More rows than the smallest kernel has are worth another one only if they fill it. */
const [smallest, ...larger] = matrixSkinnyRows;
const limits = [...times(smallest, (rows) => rows + 1), ...larger];

/** 0 where no row is worth it. */
export function mostDeferredRows(product: ProductShape, quantised: Quantisation | undefined): number {
  const beyond = limits.findIndex((rows) => moreBytes(product, quantised, rows) > affordableBytes);
  return (beyond < 0 ? limits : limits.slice(0, beyond)).at(-1) ?? 0;
}

/** What the cache has to give beside what it gives to a product of finished rows, or while that waits for weights. */
function moreBytes(product: ProductShape, quantised: Quantisation | undefined, rows: number): number {
  const { inputs, outputs, matrices } = product;
  const block = matrixSkinnyRows.find((most) => rows <= most)!;
  const columns = matrixSkinnyColumns({ ...product, ...(quantised && { quantised }), rows: block });
  const read = Math.ceil(outputs / columns) * rows * inputs * 4;
  const bitsOfWeight = quantised ? quantised.bits + 16 / quantised.group : 16;
  const weights = (matrices * outputs * inputs * bitsOfWeight) / 8;
  return weights + 2 * read - Math.max(weights + read, weights * cacheOverMemory);
}
