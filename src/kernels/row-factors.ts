/**
 * The factors of RMS norms over a few whole rows, for kernels that need them before they can use the rows: 1 / sqrt(mean(x²) + ε).
 */
import { dot, f32, inverseSqrt, type KernelBuilder, type Memory, u32, type Value } from "../ir/kernel/builder.js";
import { times } from "./times.js";

/** The factor of an RMS norm, from the sum of the squares of a row. */
export function rowScale(squares: Value, width: number, epsilon: number): Value {
  return inverseSqrt(squares.div(width).add(epsilon));
}

/** The sum of the products of the components. */
export function product(left: Value, right: Value): Value {
  return left.type === "f32" ? left.mul(right) : dot(left, right);
}

/** Rows that are normed alike. */
export interface NormedRows {
  readonly count: number;
  /** Elements of a row, and the vectors they are read in. */
  readonly width: number;
  readonly vectors: number;
  readonly epsilon: number;
  /** A vector of one of the rows; every row below `count` can be read. */
  at(row: Value, vector: Value): Value;
}

export interface RowFactors {
  /** The factors, visible after the next barrier. */
  readonly memory: Memory;
  /** Computes the factors of some rows into `memory` from `first` on. Must be reached by the whole workgroup. */
  compute(rows: NormedRows, first: number): void;
}

/** Bytes of workgroup memory that so many factors take. */
export const rowFactorBytes = (count: number, workgroupSize: number): number => 4 * (count + workgroupSize);

/** Room for `count` factors. */
export function rowFactors(k: KernelBuilder, count: number): RowFactors {
  const memory = k.workgroupArray("row_factors", "f32", count);
  const partial = k.workgroupArray("row_squares", "f32", k.workgroupSize);
  return { memory, compute: (rows, first) => compute(k, rows, memory, partial, first) };
}

/** Loads that are under way at a time: with one, a row would take as many round trips to memory as a lane has vectors. */
const mostAtATime = 8;

/** Gives a lane its vectors, every `lanes`th, some at a time. */
function eachVector(
  k: KernelBuilder,
  lane: Value,
  lanes: number,
  vectors: number,
  body: (count: number, at: (index: number) => Value) => void,
): void {
  const each = Math.floor(vectors / lanes);
  const count = [8, 7, 6, 5, 4].find((count) => each % count === 0) ?? Math.min(each, mostAtATime);
  const whole = Math.floor(each / count) * count * lanes;
  k.for("vector", { from: lane, to: u32(whole), step: count * lanes }, (vector) =>
    body(count, (index) => vector.add(index * lanes)),
  );
  if (whole === vectors) return;
  k.for("vector", { from: lane.add(whole), to: u32(vectors), step: lanes }, (vector) => body(1, () => vector));
}

/** As many neighbouring invocations for each row as there are to spare; one of them adds up what they found. */
function compute(k: KernelBuilder, rows: NormedRows, memory: Memory, partial: Memory, first: number): void {
  const { count, width, vectors, epsilon } = rows;
  const lanes = 2 ** Math.floor(Math.log2(Math.max(1, Math.min(k.workgroupSize / count, vectors))));
  const atOnce = Math.floor(k.workgroupSize / lanes);
  const lane = k.let("lane", k.localId.rem(lanes));
  const place = k.let("row_place", k.localId.div(lanes));
  const round = (before: Value | number) => {
    const row = k.let("normed_row", place.add(before));
    const there = k.let("row_there", place.lt(atOnce).and(row.lt(count)));
    k.if(there, () => {
      const squares = k.var("squares", f32(0));
      eachVector(k, lane, lanes, vectors, (count, at) => {
        const loaded = times(count, (index) => k.let("x", rows.at(row, at(index))));
        for (const x of loaded) squares.set(squares.add(product(x, x)));
      });
      partial.set(k.localId, squares);
    });
    k.barrier();
    k.if(there.and(lane.eq(0)), () => {
      const total = k.var("total", f32(0));
      k.for("part", { to: lanes }, (part) => total.set(total.add(partial.at(k.localId.add(part)))));
      memory.set(row.add(first), rowScale(total, width, epsilon));
    });
  };
  if (count <= atOnce) round(0);
  else {
    k.for("rows_before", { to: count, step: atOnce }, (before) => {
      round(before);
      // The next round overwrites what this one adds up.
      k.barrier();
    });
  }
}
