/** What the subgroups of a workgroup, which divide the inputs of a product among themselves, have found: brought together in workgroup memory. */
import type { KernelBuilder, Value, Variable } from "../../ir/kernel/builder.js";
import { u32 } from "../../ir/kernel/builder.js";
import { cellOfC } from "../../ir/kernel/fragments.js";
import { productRows, tileSide } from "./matrix-fragments.js";

/** Where a lane stands in its workgroup. */
export interface LanePlace {
  readonly subgroups: number;
  readonly subgroup: Value;
  readonly lane: Value;
  /** Its row of inputs in every block of eight. */
  readonly rowOfLane: Value;
  /** Its first input in a tile; its other pair stands half a tile behind. */
  readonly pairOfLane: Value;
}

/** Floats between two rows of a product's sums: 20, so that the lanes that store them hit different memory banks. */
const sumStride = tileSide + 4;

/**
 * Stores the sums of a subgroup, one for every tile of weights and block of rows.
 *
 * @returns the total of a row and an output of a tile, after the next barrier
 */
export function shareSums(
  k: KernelBuilder,
  sums: readonly (readonly Variable[])[],
  { subgroups, subgroup, rowOfLane, pairOfLane }: LanePlace,
): (tile: Value, row: Value, output: Value) => Value {
  const all = sums.flat();
  const [tiles, rows] = [sums.length, (all.length / sums.length) * productRows];
  // Sums of product p of tile t lie at ((subgroup · tiles + t) · products + p) · 8 rows of `sumStride`.
  const shares = k.workgroupArray("shares", "f32", subgroups * tiles * rows * sumStride);
  const first = k.let(
    "shares_at",
    subgroup
      .mul(tiles * rows)
      .add(pairOfLane)
      .mul(sumStride)
      .add(rowOfLane),
  );
  all.forEach((sum, index) => {
    for (let component = 0; component < 4; component++) {
      // Lane 0 holds the first cell of each component; the others stand by the same distance from their own.
      const { row, column } = cellOfC(0, component);
      shares.set(first.add((index * productRows + column) * sumStride + row), sum.component(component));
    }
  });
  return (tile, row, output) =>
    addShares(k, subgroups, (share) =>
      shares.at(share.mul(tiles).add(tile).mul(rows).add(row).mul(sumStride).add(output)),
    );
}

/**
 * Stores the squares of a subgroup, one sum for every block of rows.
 *
 * @param name of the workgroup memory
 * @returns the total of a row, after the next barrier
 */
export function shareSquares(
  k: KernelBuilder,
  name: string,
  squares: readonly Variable[],
  { subgroups, subgroup, lane, rowOfLane }: LanePlace,
): (row: Value) => Value {
  const rows = squares.length * productRows;
  const shares = k.workgroupArray(name, "f32", subgroups * rows);
  squares.forEach((square, product) => {
    // Four lanes share a row.
    const pairs = k.let("squares", square.add(k.subgroupShuffleXor("other", square, 1)));
    const all = k.let("squares", pairs.add(k.subgroupShuffleXor("other", pairs, 2)));
    const place = subgroup
      .mul(rows)
      .add(product * productRows)
      .add(rowOfLane);
    shares.set(place, all, { when: lane.rem(4).eq(0) });
  });
  return (row) => addShares(k, subgroups, (share) => shares.at(share.mul(rows).add(row)));
}

function addShares(k: KernelBuilder, count: number, at: (share: Value) => Value): Value {
  const total = k.var("total", at(u32(0)));
  k.for("share", { from: u32(1), to: u32(count) }, (share) => total.set(total.add(at(share))));
  return total;
}
