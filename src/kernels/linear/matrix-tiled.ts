/**
 * The product of many input rows with packed weights on matrix units: prefill.
 *
 * One workgroup computes a tile of the output and walks the inputs in steps of 32. Weights come into workgroup memory by asynchronous
 * copies, two steps ahead, in the order in which lanes load them as the left operand. Inputs are loaded into registers a step ahead,
 * scaled by the norm's gains, rounded and stored as rows of halves, which matrix loads turn into right operands. Edges are predicated, so
 * any size works. A norm's factor is applied to the finished sums; its squares are gathered while the inputs are rounded.
 */

import {
  buildKernel,
  constantOf,
  dot,
  f32,
  type KernelBuilder,
  type Memory,
  min,
  packHalves,
  u32,
  type Value,
  type Variable,
  vector,
  vectorOf,
} from "../../ir/kernel/builder.js";
import { cellOfC } from "../../ir/kernel/fragments.js";
import type { Kernel } from "../../ir/kernel/kernel.js";
import { widthOf } from "../../ir/kernel/types.js";
import { rowScale } from "../row-factors.js";
import { rowRange } from "../row-table.js";
import { times } from "../times.js";
import { depthTiles, halfFormat, productRows, tileSide, tileWords } from "./matrix-fragments.js";
import type { Accumulator } from "./matrix-weights.js";
import { describeLinear, type LinearOptions, linearName, vectorWidth } from "./options.js";
import { bindEpilogue } from "./product-epilogue.js";
import { bindStagedWeights, stepTiles, weightStages } from "./staged-weights.js";

/** How a workgroup divides a tile of the output among its subgroups. */
export interface MatrixTile {
  readonly name: "small" | "large";
  /** Subgroups side by side along the outputs, and along the rows. */
  readonly across: number;
  readonly along: number;
  /** Weight tiles of a subgroup, those of all matrices together. */
  readonly tiles: number;
  /** Products of 8 rows of a subgroup. */
  readonly products: number;
}

/** Large tiles load everything least often; small ones are for outputs that would leave most of a device idle. */
export const matrixTiles = {
  small: { name: "small", across: 2, along: 2, tiles: 2, products: 4 },
  large: { name: "large", across: 2, along: 4, tiles: 4, products: 4 },
} as const satisfies Record<string, MatrixTile>;

export interface MatrixTiledOptions extends LinearOptions {
  readonly tile: MatrixTile["name"];
}

/** Output columns and rows of one workgroup. */
export function matrixTileSize({ tile, matrices }: Pick<MatrixTiledOptions, "tile" | "matrices">): {
  readonly columns: number;
  readonly rows: number;
} {
  const { across, along, products } = matrixTiles[tile];
  return { columns: across * bandsOfSubgroup(tile, matrices) * tileSide, rows: along * products * productRows };
}

/** Bands of 16 outputs that a subgroup has of every matrix. */
function bandsOfSubgroup(tile: MatrixTile["name"], matrices: number): number {
  return Math.max(1, matrixTiles[tile].tiles / matrices);
}

const stepInputs = stepTiles * tileSide;
const inputStages = 2;
/** Words of 16 bytes that a step of an input row takes, and between two rows: odd, so that eight rows lie in different memory banks. */
const rowWords = stepInputs / 8;
const rowStride = rowWords + 1;

export function matrixTiledLinear(options: MatrixTiledOptions): Kernel {
  const { columns, rows } = matrixTileSize(options);
  return buildKernel(
    `${linearName(options)}_mma_${options.tile}`,
    {
      doc: `${describeLinear(options)} One workgroup computes a tile of ${columns} columns of ${rows} rows on matrix units.`,
      dispatch: `x: a workgroup for every ${columns} columns from the first tile on; y: ceil(row_count / ${rows})`,
      workgroupSize: planOf(options).size,
      // Large tiles with sums of groups beside their own do not fit the registers that two leave.
      resident: options.quantised && options.tile === "large" ? 1 : 2,
    },
    (k) => body(k, options),
  );
}

interface Plan {
  readonly size: number;
  /** Bands of a subgroup, and of the workgroup. */
  readonly own: number;
  readonly bands: number;
  readonly rows: number;
  readonly along: number;
  readonly products: number;
  /** Weight tiles of the workgroup along the outputs, those of the second matrix behind those of the first. */
  readonly tiles: number;
  readonly steps: number;
}

function planOf(options: MatrixTiledOptions): Plan {
  const { matrices, tile } = options;
  const { across, along, products } = matrixTiles[tile];
  const own = bandsOfSubgroup(tile, matrices);
  const bands = across * own;
  return {
    ...{ own, bands, along, products },
    size: across * along * tileWords,
    rows: along * products * productRows,
    tiles: bands * matrices,
    steps: Math.ceil(depthTiles(options) / stepTiles),
  };
}

function body(k: KernelBuilder, options: MatrixTiledOptions): void {
  const { matrices, norm } = options;
  const plan = planOf(options);
  const { own, bands, rows, along, products, steps } = plan;

  const range = rowRange(k);
  const columnBase = k.param("column_base");
  const columnCount = k.param("column_count");
  const partBase = k.param("part_base");
  const input = k.read("input", vectorOf("f32", vectorWidth(options.inputs)));
  const stageWeights = bindStagedWeights(k, options, plan);
  const gains = norm?.weight ? k.read("norm_weight", input.type, "weight") : undefined;
  const finish = bindEpilogue(k, options, range);

  const lane = k.let("lane", k.localId.rem(tileWords));
  const subgroup = k.let("subgroup", k.localId.div(tileWords));
  const acrossPlace = k.let("across", subgroup.div(along));
  const alongPlace = k.let("along", subgroup.rem(along));
  const firstRow = k.let("first_row", k.workgroupId.y.mul(rows));
  const firstBand = k.let("first_band", columnBase.sub(partBase).div(tileSide).add(k.workgroupId.x.mul(bands)));

  const weights = stageWeights({ firstBand, columnBase, columnCount, partBase });
  const rowsIn = inputStage(k, options, plan, { input, gains, range, firstRow });
  const sums = k.registers("sums", "vec4<f32>", matrices * own * products);

  k.comment(
    "Weights of the first two steps, and the inputs of the first, are on their way before anything is multiplied.",
  );
  weights.start(u32(0), u32(0));
  weights.start(u32(1), u32(1));
  rowsIn.load(u32(0));
  rowsIn.store(u32(0));
  k.for("step", { to: steps }, (step) => {
    k.asyncWait(weightStages - 2);
    k.barrier();
    weights.start(step.add(2), k.let("free_stage", step.add(2).rem(weightStages)));
    const more = step.add(1).lt(steps);
    k.if(more, () => rowsIn.load(step.add(1)));
    const stage = k.let("weight_stage", step.rem(weightStages));
    const inputStage = k.let("input_stage", step.rem(inputStages));
    const right = times(stepTiles, (part) => rowsIn.operands(inputStage, alongPlace, part, lane));
    for (let index = 0; index < matrices * own; index++) {
      const [matrix, band] = [Math.floor(index / own), index % own];
      const tile = acrossPlace.mul(own).add(band + matrix * bands);
      const ownSums = times(products, (product) => accumulator(sums, index * products + product));
      weights.multiply({ stage, tile, lane }, right, ownSums);
    }
    k.if(more, () => rowsIn.store(step.add(1)));
  });

  const squares = norm && rowsIn.squares();
  const rowInTile = k.let("row_in_tile", alongPlace.mul(products * productRows).add(lane.rem(4).mul(2)));
  const columnInTile = k.let("column_in_tile", acrossPlace.mul(own * tileSide).add(lane.div(4)));
  const firstColumn = k.let("first_column", partBase.add(firstBand.mul(tileSide)).add(columnInTile));
  k.for("product_place", { to: products, unroll: true }, (product) => {
    for (let pair = 0; pair < 2; pair++) {
      const row = k.let("row", rowInTile.add(product.mul(productRows)).add(cellOfC(0, pair).column));
      k.if(firstRow.add(row).lt(range.count), () => {
        const scale = squares && norm && k.let("scale", rowScale(squares.at(row), options.inputs, norm.epsilon));
        k.for("band", { to: own, unroll: true }, (band) => {
          for (const half of [0, 2]) {
            const column = k.let("column", firstColumn.add(band.mul(tileSide)).add(cellOfC(0, half).row));
            k.if(column.ge(columnBase).and(column.lt(columnBase.add(columnCount))), () => {
              const accumulated = times(matrices, (matrix) =>
                sums
                  .at(
                    band
                      .add(matrix * own)
                      .mul(products)
                      .add(product),
                  )
                  .component(half + pair),
              );
              finish({ row: firstRow.add(row), column, sums: accumulated, scale });
            });
          }
        });
      });
    }
  });
}

interface InputPlaces {
  readonly input: Memory;
  readonly gains: Memory | undefined;
  readonly range: { readonly base: Value; readonly count: Value };
  readonly firstRow: Value;
}

/** A step of the input rows: an invocation brings eight neighbouring inputs of a few rows, and they become one word of 16 bytes each. */
function inputStage(
  k: KernelBuilder,
  options: MatrixTiledOptions,
  { rows, size, products }: Plan,
  { input, gains, range, firstRow }: InputPlaces,
) {
  const { inputs, norm } = options;
  const width = widthOf(input.type);
  const perRow = inputs / width;
  const memory = k.workgroupArray("input_stages", "vec4<u32>", inputStages * rows * rowStride);
  const rowsBetween = size / rowWords;
  const each = rows / rowsBetween;
  const ownRow = k.let("own_row", k.localId.div(rowWords));
  const ownWord = k.let("own_word", k.localId.rem(rowWords));
  const last = range.count.sub(1);
  const starts = times(each, (index) => {
    const row = min(firstRow.add(ownRow).add(index * rowsBetween), last);
    return k.let("row_at", range.base.add(row).mul(perRow));
  });
  const parts = 8 / width;
  const raw = times(each, () => times(parts, () => k.var("raw", constantOf(input.type, 0))));
  const squares = norm ? times(each, () => k.var("squares", f32(0))) : [];
  /** Inputs from `first` on: eight of them, zeros behind the end of the row. */
  const loadInto = (memoryOf: Memory, start: Value, first: Value, targets: readonly Variable[]) =>
    targets.forEach((target, part) => {
      const at = first.add(part * width);
      const load = () => target.set(memoryOf.at(start.add(at.div(width))));
      if (inputs % stepInputs === 0) load();
      else k.if(at.lt(inputs), load, () => target.set(constantOf(input.type, 0)));
    });
  return {
    load(step: Value): void {
      const first = k.let("first_input", step.mul(stepInputs).add(ownWord.mul(8)));
      for (const [index, start] of starts.entries()) loadInto(input, start, first, raw[index]!);
    },
    store(step: Value): void {
      const gain = gains && times(parts, () => k.var("gain", constantOf(input.type, 0)));
      if (gains && gain) {
        const first = k.let("first_gain", step.mul(stepInputs).add(ownWord.mul(8)));
        loadInto(gains, u32(0), first, gain);
      }
      const stage = k.let("store_stage", step.rem(inputStages));
      raw.forEach((own, index) => {
        const square = squares[index];
        if (square) square.set(own.reduce<Value>((sum, part) => sum.add(squareOf(part)), square));
        const scaled = own.map((part, at) => (gain ? k.let("scaled", part.mul(gain[at]!)) : part));
        const components = scaled.flatMap((part) => times(width, (component) => part.component(component)));
        const words = times(4, (word) =>
          packHalves(halfFormat(options), vector("f32", components.slice(2 * word, 2 * word + 2))),
        );
        const place = stage
          .mul(rows)
          .add(ownRow)
          .add(index * rowsBetween)
          .mul(rowStride)
          .add(ownWord);
        memory.set(place, vector("u32", words));
      });
    },
    /** Right operands of all products of a subgroup: a matrix load brings two of them. */
    operands(stage: Value, along: Value, part: number, lane: Value): Value[] {
      const first = k.let("operand_row", stage.mul(rows).add(along.mul(products * productRows)));
      return times(products / 2, (pair) => {
        // Matrices 0 and 1 are the halves of the depth for eight rows, 2 and 3 those of the next eight.
        const row = first
          .add(pair * 2 * productRows)
          .add(lane.div(16).mul(productRows))
          .add(lane.rem(8));
        const word = lane
          .div(8)
          .rem(2)
          .add(part * 2);
        const loaded = k.matrixLoad("x", memory, row.mul(rowStride).add(word), 4);
        return [vector("u32", [loaded.x, loaded.y]), vector("u32", [loaded.z, loaded.w])];
      }).flat();
    },
    /** The sum of the squares of every row of the tile. */
    squares(): Memory {
      const totals = k.workgroupArray("squares_of_rows", "f32", rows);
      squares.forEach((square, index) => {
        let sum: Value = square;
        for (let mask = 1; mask < rowWords; mask *= 2)
          sum = k.let("pair", sum.add(k.subgroupShuffleXor("other", sum, mask)));
        totals.set(ownRow.add(index * rowsBetween), sum, { when: ownWord.eq(0) });
      });
      k.barrier();
      return totals;
    },
  };
}

/** The sum of the squares of the components. */
const squareOf = (part: Value): Value => (part.type === "f32" ? part.mul(part) : dot(part, part));

/** An element of a register array as a sum. */
const accumulator = (sums: Memory, place: number): Accumulator => ({
  get: () => sums.at(place),
  set: (value) => sums.set(place, value),
});
