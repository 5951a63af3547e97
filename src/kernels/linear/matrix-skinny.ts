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
  min,
  u32,
  type Value,
} from "../../ir/kernel/builder.js";
import type { Kernel } from "../../ir/kernel/kernel.js";
import { eachOwn } from "../reduce.js";
import { rowScale } from "../row-factors.js";
import { rowRange } from "../row-table.js";
import { times } from "../times.js";
import { bandsOf, halfFormat, productRows, rightOperand, tileSide, tileWords } from "./matrix-fragments.js";
import { bindColumns, bindInputRows, type InputRows } from "./matrix-inputs.js";
import { shareSquares, shareSums } from "./matrix-shares.js";
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
/** Where each is finished from a branch, a gain and a stream. */
const undoneInFlight = 4;
/**
 * More bands in a workgroup save loads of inputs, but a device wants so many workgroups to balance them. From 16 rows on the inputs of a
 * band are as many bytes as its weights, or more, so one workgroup for each processor of a large GPU is enough.
 */
const wantedWorkgroups = { few: 264, many: 128 } as const;
/** Products of one step, 4 sums per lane each. */
const mostProducts = 8;

/** What decides how a workgroup divides its work. */
type PlannedOptions = Pick<
  MatrixSkinnyOptions,
  "inputs" | "outputs" | "matrices" | "rows" | "quantised" | "merge" | "deferred"
>;

function planOf(options: PlannedOptions): Plan {
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
  const atOnce = (options.deferred ? undoneInFlight : inputsInFlight) / products;
  const inputTiles = Math.min(mostInputTiles[kind], atOnce);
  const ofWeights = Math.floor(registersInFlight[kind] / (tiles * step.registers));
  // Integers of many inputs take few registers, so they may run ahead of the inputs.
  const together = options.merge ? 1 : options.quantised ? ofWeights : Math.min(ofWeights, inputTiles);
  const batches = Math.ceil(share / Math.max(1, together));
  const unroll = Math.ceil(share / batches);
  const prefetched = Math.floor(prefetchedBytes / (subgroups * unroll * tiles * step.loads * tileWords * 16));
  return { subgroups, bands, tiles, unroll, batches, prefetched, inputTiles };
}

/** Output columns of one workgroup. */
export function matrixSkinnyColumns(options: PlannedOptions): number {
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

function body(k: KernelBuilder, options: MatrixSkinnyOptions, plan: Plan): void {
  const { matrices, rows, norm } = options;
  const { subgroups, bands, tiles, unroll, batches, inputTiles } = plan;
  const shape = stepShape(options);
  const products = rows / productRows;

  const range = rowRange(k);
  const columnBase = k.param("column_base");
  const columnCount = k.param("column_count");
  const partBase = k.param("part_base");
  const prepareInput = bindInputRows(k, options);
  const weights = bindMatrixWeights(k, options, partBase);
  const gains = norm?.weight ? bindColumns(k, "norm_weight", options.inputs) : undefined;
  const finish = bindEpilogue(k, options, range);

  const lane = k.let("lane", k.localId.rem(tileWords));
  const subgroup = k.let("subgroup", k.localId.div(tileWords));
  const pairOfLane = k.let("pair", lane.rem(4).mul(2));
  const rowOfLane = k.let("row_of_lane", lane.div(4));

  const firstRow = k.let("first_row", k.workgroupId.y.mul(rows));
  const place = { subgroups, subgroup, lane, rowOfLane, pairOfLane };
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
  const loadInputs = (input: InputRows, tiles: readonly Value[], guarded: boolean) => {
    // All loads come before the first use of one, so that they are under way together.
    const loads = tiles.map((tile) => {
      const columns = [0, productRows].map((half) => k.let("column", tile.mul(tileSide).add(pairOfLane).add(half)));
      return columns.map((column) => ({ gain: gains?.(column, guarded), finish: input.load(column, guarded) }));
    });
    return loads.map((halves) => {
      const loaded = halves.map(({ gain, finish }) => ({ gain, pairs: finish() }));
      return times(products, (product) => {
        const [low, high] = loaded.map(({ gain, pairs }) => {
          const pair = pairs[product]!;
          const square = squares[product];
          if (square) square.set(square.add(dot(pair, pair)));
          return gain ? pair.mul(gain) : pair;
        }) as [Value, Value];
        return k.let("x", rightOperand(halfFormat(options), low, high));
      });
    });
  };
  const multiply = (input: InputRows, { steps, left, guarded }: Batch) => {
    const all = steps.flatMap((step, index) =>
      times(shape.tiles, (tile) => ({ place: step.mul(shape.tiles).add(tile), index, tile })),
    );
    const together = Math.min(shape.tiles, inputTiles);
    for (let first = 0; first < all.length; first += inputTiles) {
      const own = all.slice(first, first + inputTiles);
      const places = own.map(({ place }) => place);
      const right = loadInputs(input, places, guarded);
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
  const input = prepareInput({ ...place, range, firstRow, blocks: products });
  multiply(input, firstBatch);
  const last = batches - 1;
  if (last > 1) k.for("batch", { from: u32(1), to: u32(last) }, (batch) => multiply(input, loadWeights(batch, false)));
  if (last > 0) multiply(input, loadWeights(u32(last), isGuarded(last)));

  const totalOf = shareSums(k, sums, place);
  const squaresOf = norm && shareSquares(k, "square_shares", squares, place);
  k.barrier();
  input.keep?.();

  eachOwn(k, bands * tileSide * rows, (own) => {
    const output = k.let("output_in_band", own.rem(tileSide));
    const row = k.let("row", own.div(tileSide).rem(rows));
    const band = bands === 1 ? u32(0) : k.let("band", own.div(tileSide * rows));
    const column = k.let("column", partBase.add(firstBand.add(band).mul(tileSide)).add(output));
    const inside = column.ge(columnBase).and(column.lt(columnBase.add(columnCount)));
    k.if(firstRow.add(row).lt(range.count).and(inside), () => {
      const totals = times(matrices, (matrix) => totalOf(band.add(matrix * bands), row, output));
      const scale = squaresOf && norm && k.let("scale", rowScale(squaresOf(row), options.inputs, norm.epsilon));
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
