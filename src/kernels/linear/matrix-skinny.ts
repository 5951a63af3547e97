/**
 * The product of a few input rows with packed weights on matrix units: decode, where the weights are read once whatever the number of
 * rows.
 *
 * One workgroup computes a band of 16 outputs (or a few) for a block of rows. Its subgroups divide the inputs among themselves: each
 * walks its share in batches, loads the weights of a batch with one 16-byte load per lane and tile, rounds the inputs that belong to
 * them, and multiplies. The shares are added up in workgroup memory. A norm's factor scales a whole row, so it is applied to the
 * finished sums; its squares are gathered on the way.
 */

import {
  buildKernel,
  constantOf,
  dot,
  f32,
  type KernelBuilder,
  type Memory,
  min,
  u32,
  type Value,
  type Variable,
  vector,
  vectorOf,
} from "../../ir/kernel/builder.js";
import { cellOfC } from "../../ir/kernel/fragments.js";
import type { Kernel } from "../../ir/kernel/kernel.js";
import { bindPartials } from "../attention/merge.js";
import { eachOwn } from "../reduce.js";
import { rowScale } from "../row-factors.js";
import { rowRange } from "../row-table.js";
import { times } from "../times.js";
import { bandsOf, halfFormat, productRows, rightOperand, tileSide, tileWords } from "./matrix-fragments.js";
import { bindMatrixWeights, type LoadedStep, stepShape } from "./matrix-weights.js";
import { describeLinear, type LinearOptions, linearName } from "./options.js";
import { bindEpilogue } from "./product-epilogue.js";

/** Block sizes that have a kernel; other numbers of rows are rounded up. */
export const matrixSkinnyRows = [8, 16, 32] as const;

export interface MatrixSkinnyOptions extends LinearOptions {
  /** Rows of a block, M. */
  readonly rows: (typeof matrixSkinnyRows)[number];
}

/** How a workgroup divides its outputs and inputs. */
interface Plan {
  readonly subgroups: number;
  /** Bands of 16 outputs; every subgroup has all of them, so that inputs are rounded once for several bands. */
  readonly bands: number;
  /** A tile for every band and matrix. */
  readonly tiles: number;
  /** Steps along the inputs whose weights are under way together. */
  readonly unroll: number;
  readonly batches: number;
  /** Batches behind the first that are asked for before it is the kernel's turn. */
  readonly prefetched: number;
  /** Tiles along the inputs whose inputs are under way together. */
  readonly inputTiles: number;
}

const mostSubgroups = 8;
/**
 * Of a lane, for weights that are under way: eight subgroups with eight loads of 512 bytes fill the memory pipeline of a processor. Small
 * integers need registers for what they become.
 */
const registersInFlight = { floats: 32, integers: 20 } as const;
/** Bytes of weights that a workgroup asks for before its turn, beside those that it loads: a fraction of a second-level cache for all. */
const prefetchedBytes = 65536;
/** Tiles of inputs that are under way beside them. */
const mostInputTiles = { floats: 8, integers: 4 } as const;
/** Pairs of inputs for a product that are under way, four registers each. */
const inputsInFlight = 16;
/**
 * More bands in a workgroup save loads of inputs, but a device wants so many workgroups to balance them. From 16 rows on the inputs of a
 * band are as many bytes as its weights, or more, so one workgroup for each processor of a large GPU is enough.
 */
const wantedWorkgroups = { few: 264, many: 128 } as const;
/** Products of one step, 4 sums per lane each. */
const mostProducts = 8;

function planOf(options: MatrixSkinnyOptions): Plan {
  const { matrices, rows } = options;
  const kind = options.quantised ? "integers" : "floats";
  const step = stepShape(options);
  const products = rows / productRows;
  const [wanted, most] = options.quantised
    ? [wantedWorkgroups.few, mostProducts / 4]
    : rows < 16
      ? [wantedWorkgroups.few, mostProducts / 2]
      : [wantedWorkgroups.many, mostProducts];
  const fits = (bands: number) =>
    bands * matrices * products <= most && bands * matrices * step.registers <= registersInFlight[kind];
  let bands = 1;
  while (fits(2 * bands) && bandsOf(options) >= 2 * bands * wanted) bands *= 2;
  const tiles = bands * matrices;
  let subgroups = mostSubgroups;
  while (subgroups > 1 && (subgroups > step.steps || tiles * products * subgroups > mostProducts * mostSubgroups)) {
    subgroups /= 2;
  }
  const share = Math.ceil(step.steps / subgroups);
  const inputTiles = Math.min(mostInputTiles[kind], inputsInFlight / products);
  const ofWeights = Math.floor(registersInFlight[kind] / (tiles * step.registers));
  // Integers of many inputs take few registers, so they may run ahead of the inputs.
  const together = options.merge ? 1 : options.quantised ? ofWeights : Math.min(ofWeights, inputTiles);
  const batches = Math.ceil(share / Math.max(1, together));
  const unroll = Math.ceil(share / batches);
  const prefetched = Math.floor(prefetchedBytes / (subgroups * unroll * tiles * step.loads * tileWords * 16));
  return { subgroups, bands, tiles, unroll, batches, prefetched, inputTiles };
}

/** Output columns of one workgroup. */
export function matrixSkinnyColumns(options: MatrixSkinnyOptions): number {
  return planOf(options).bands * tileSide;
}

export function matrixSkinnyLinear(options: MatrixSkinnyOptions): Kernel {
  const { rows } = options;
  const plan = planOf(options);
  const columns = plan.bands * tileSide;
  return buildKernel(
    `${linearName(options)}_mma_m${rows}`,
    {
      doc: `${describeLinear(options)} One workgroup computes ${columns} columns of up to ${rows} rows on matrix units; every weight is loaded once.`,
      dispatch: `x: a workgroup for every ${columns} columns from the first tile on; y: ceil(row_count / ${rows})`,
      workgroupSize: plan.subgroups * tileWords,
      // Two leave each invocation enough registers for the loads of a batch; many rows need more for their inputs, and so do the sums
      // of several products beside what becomes of small integers.
      resident: rows > 16 || (options.quantised && plan.tiles * rows >= 4 * productRows) ? 1 : 2,
    },
    (k) => body(k, options, plan),
  );
}

/** Floats between two rows of a product's sums: 20, so that the lanes that store them hit different memory banks. */
const sumStride = tileSide + 4;

function body(k: KernelBuilder, options: MatrixSkinnyOptions, plan: Plan): void {
  const { matrices, rows, norm } = options;
  const { subgroups, bands, tiles, unroll, batches, inputTiles } = plan;
  const shape = stepShape(options);
  const products = rows / productRows;

  const range = rowRange(k);
  const columnBase = k.param("column_base");
  const columnCount = k.param("column_count");
  const partBase = k.param("part_base");
  const inputs = bindInputs(k, options);
  const weights = bindMatrixWeights(k, options, partBase);
  const gains = norm?.weight ? pairReader(k.read("norm_weight", pairType(inputs.unit), "weight")) : undefined;
  const finish = bindEpilogue(k, options, range);

  const lane = k.let("lane", k.localId.rem(tileWords));
  const subgroup = k.let("subgroup", k.localId.div(tileWords));
  const pairOfLane = k.let("pair", lane.rem(4).mul(2));
  const rowOfLane = k.let("row_of_lane", lane.div(4));

  const firstRow = k.let("first_row", k.workgroupId.y.mul(rows));
  // Rows beyond the range repeat the last one and are not stored, so the loop needs no test for them.
  const lastRow = range.count.sub(1);
  const inputRows = times(products, (product) =>
    k.let(`input_row_${product}`, range.base.add(min(firstRow.add(product * productRows).add(rowOfLane), lastRow))),
  );
  // A range may begin or end inside a tile; bands behind its last one repeat that and are not stored.
  const firstColumn = columnBase.sub(partBase);
  const firstBand = k.let("first_band", firstColumn.div(tileSide).add(k.workgroupId.x.mul(bands)));
  const lastBand = k.let("last_band", firstColumn.add(columnCount).sub(1).div(tileSide));
  const weightRows = times(tiles, (tile) => {
    const [matrix, band] = [Math.floor(tile / bands), tile % bands];
    return weights.band(`weight_row_${tile}`, min(firstBand.add(band), lastBand).add(matrix * bandsOf(options)), lane);
  });

  const sums = times(tiles, () => times(products, () => k.var("sum", constantOf("vec4<f32>", 0))));
  const accumulators = sums.map((ofTile) =>
    ofTile.map((sum) => ({ get: () => sum, set: (value: Value) => sum.set(value) })),
  );
  const squares = norm ? times(products, () => k.var("square", f32(0))) : [];
  const whole = options.inputs % (shape.tiles * tileSide) === 0 && subgroups * unroll * batches === shape.steps;
  const loadWeights = (batch: Value, guarded: boolean): Batch => {
    const first = k.let("first", batch.mul(subgroups).add(subgroup).mul(unroll));
    const steps = times(unroll, (step) => k.let("step", first.add(step)));
    const load = (step: Value) => weightRows.map((row) => row.load(step, guarded ? step.lt(shape.steps) : undefined));
    return { steps, left: steps.map(load), guarded };
  };
  const loadInputs = (tiles: readonly Value[], guarded: boolean) => {
    // All loads come before the first use of one, so that they are under way together.
    const loaded = tiles.map((tile) => {
      const columns = [0, productRows].map((half) => k.let("column", tile.mul(tileSide).add(pairOfLane).add(half)));
      return columns.map((column) => ({
        gain: gains?.(k, u32(0), column, options.inputs, guarded),
        raw: inputRows.map((row) => inputs.pair(k, row, column, options.inputs, guarded)),
      }));
    });
    return loaded.map((halves) =>
      inputRows.map((_, product) => {
        const [low, high] = halves.map(({ raw, gain }) => {
          const pair = raw[product]!;
          const square = squares[product];
          if (square) square.set(square.add(dot(pair, pair)));
          return gain ? pair.mul(gain) : pair;
        }) as [Value, Value];
        return k.let("x", rightOperand(halfFormat(options), low, high));
      }),
    );
  };
  const multiply = ({ steps, left, guarded }: Batch) => {
    const all = steps.flatMap((step, index) =>
      times(shape.tiles, (tile) => ({ place: step.mul(shape.tiles).add(tile), index, tile })),
    );
    const together = Math.min(shape.tiles, inputTiles);
    for (let first = 0; first < all.length; first += inputTiles) {
      const own = all.slice(first, first + inputTiles);
      const places = own.map(({ place }) => place);
      const right = loadInputs(places, guarded);
      for (let at = 0; at < own.length; at += together) {
        const { index, tile } = own[at]!;
        for (const [row, loaded] of left[index]!.entries()) {
          loaded.multiply(tile, right.slice(at, at + together), accumulators[row]!);
        }
      }
    }
  };
  // Only the last batch may reach behind the inputs.
  const isGuarded = (batch: number) => !whole && batch === batches - 1;
  const firstBatch = loadWeights(u32(0), isGuarded(0));
  if (options.capabilities.dependentLaunch) {
    k.comment("The first weights are on their way while the kernel before this one still writes the input.");
    const ahead = times(batches, (batch) => batch).slice(1, plan.prefetched + 1);
    const prefetched = ahead.filter((batch) => !isGuarded(batch));
    if (prefetched.length > 0) {
      k.if(lane.eq(0), () => {
        for (const batch of prefetched) {
          const first = k.let("first", subgroup.add(batch * subgroups).mul(unroll));
          for (const row of weightRows) row.prefetch(first, unroll);
        }
      });
    }
    k.releaseNext();
    k.awaitPrevious();
  }
  multiply(firstBatch);
  const last = batches - 1;
  if (last > 1) k.for("batch", { from: u32(1), to: u32(last) }, (batch) => multiply(loadWeights(batch, false)));
  if (last > 0) multiply(loadWeights(u32(last), isGuarded(last)));

  const shares = k.workgroupArray("shares", "f32", subgroups * tiles * products * productRows * sumStride);
  const squareShares = norm && k.workgroupArray("square_shares", "f32", subgroups * rows);
  storeShares(k, sums, { shares, subgroup, rowOfLane, pairOfLane });
  if (squareShares) storeSquares(k, squares, squareShares, { subgroup, rowOfLane, lane, rows });
  k.barrier();

  eachOwn(k, bands * tileSide * rows, (own) => {
    const output = k.let("output_in_band", own.rem(tileSide));
    const row = k.let("row", own.div(tileSide).rem(rows));
    const band = bands === 1 ? u32(0) : k.let("band", own.div(tileSide * rows));
    const column = k.let("column", partBase.add(firstBand.add(band).mul(tileSide)).add(output));
    const inside = column.ge(columnBase).and(column.lt(columnBase.add(columnCount)));
    k.if(firstRow.add(row).lt(range.count).and(inside), () => {
      const at = (share: Value, matrix: number) =>
        share
          .mul(tiles)
          .add(band.add(matrix * bands))
          .mul(rows)
          .add(row)
          .mul(sumStride)
          .add(output);
      const totals = times(matrices, (matrix) => addShares(k, subgroups, (share) => shares.at(at(share, matrix))));
      const square = squareShares && addShares(k, subgroups, (share) => squareShares.at(share.mul(rows).add(row)));
      const scale = square && norm && k.let("scale", rowScale(square, options.inputs, norm.epsilon));
      finish({ row: firstRow.add(row), column, sums: totals, scale });
    });
  });
}

/** Steps along the inputs whose weights are loaded together. */
interface Batch {
  readonly steps: readonly Value[];
  /** Weights of every step, band and matrix. */
  readonly left: readonly (readonly LoadedStep[])[];
  /** Whether steps may lie behind the inputs. */
  readonly guarded: boolean;
}

/** Inputs `column` and `column + 1` of a row of `width`; where guarded, zeros for those that are not there. */
type ReadPair = (k: KernelBuilder, row: Value, column: Value, width: number, guarded: boolean) => Value;

/** Elements of a load: pairs, unless they would straddle two rows. */
type Unit = 1 | 2;

const pairType = (unit: Unit) => vectorOf("f32", unit);

function bindInputs(k: KernelBuilder, options: MatrixSkinnyOptions): { readonly unit: Unit; readonly pair: ReadPair } {
  const { inputs, merge } = options;
  if (merge === undefined) {
    const unit = inputs % 2 === 0 ? 2 : 1;
    return { unit, pair: pairReader(k.read("input", pairType(unit))) };
  }
  // A load of attention's splits stays inside a head.
  const unit = merge.width % 2 === 0 ? 2 : 1;
  const partials = bindPartials(k, merge, unit);
  return { unit: inputs % 2 === 0 ? 2 : 1, pair: pairsOf(unit, (row, place) => partials.at(row, place)) };
}

function pairReader(memory: Memory): ReadPair {
  const unit = memory.type === "f32" ? 1 : 2;
  return (k, row, column, width, guarded) =>
    pairsOf(unit, (own, place) => memory.at(own.mul(width / unit).add(place)))(k, row, column, width, guarded);
}

function pairsOf(unit: Unit, at: (row: Value, place: Value) => Value): ReadPair {
  return (k, row, column, width, guarded) => {
    const read = (place: Value) => {
      if (!guarded) return k.let("raw", at(row, place.div(unit)));
      const loaded = k.var("raw", constantOf(pairType(unit), 0));
      k.if(place.lt(width), () => loaded.set(at(row, place.div(unit))));
      return loaded;
    };
    return unit === 2 ? read(column) : k.let("raw_pair", vector("f32", [read(column), read(column.add(1))]));
  };
}

interface Places {
  readonly subgroup: Value;
  readonly rowOfLane: Value;
}

/** Sums of product p of tile t lie at ((subgroup · tiles + t) · products + p) · 8 rows of `sumStride`. */
function storeShares(
  k: KernelBuilder,
  sums: readonly (readonly Variable[])[],
  { shares, subgroup, rowOfLane, pairOfLane }: Places & { readonly shares: Memory; readonly pairOfLane: Value },
): void {
  const all = sums.flat();
  const first = k.let(
    "shares_at",
    subgroup
      .mul(all.length * productRows)
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
}

/** Adds the squares of the four lanes that share a row. */
function storeSquares(
  k: KernelBuilder,
  squares: readonly Variable[],
  memory: Memory,
  { subgroup, rowOfLane, lane, rows }: Places & { readonly lane: Value; readonly rows: number },
): void {
  squares.forEach((square, product) => {
    const pairs = k.let("squares", square.add(k.subgroupShuffleXor("other", square, 1)));
    const all = k.let("squares", pairs.add(k.subgroupShuffleXor("other", pairs, 2)));
    const place = subgroup
      .mul(rows)
      .add(product * productRows)
      .add(rowOfLane);
    memory.set(place, all, { when: lane.rem(4).eq(0) });
  });
}

function addShares(k: KernelBuilder, count: number, at: (share: Value) => Value): Value {
  const total = k.var("total", at(u32(0)));
  k.for("share", { from: u32(1), to: u32(count) }, (share) => total.set(total.add(at(share))));
  return total;
}
