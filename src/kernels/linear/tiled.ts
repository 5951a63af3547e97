/**
 * The product of many input rows with a weight matrix: prefill.
 *
 * One workgroup computes a tile of the output. It walks the inputs in steps, of 16 unless tuned: the invocations bring a strip of input rows
 * and of weight rows into workgroup memory, begin to load those of the next step, and multiply 4 rows by 4 columns each. Edges are predicated, so any size works. A norm is
 * applied to the finished sums, as in the skinny kernel; its squares are gathered while the strips are brought in.
 */

import { InternalError } from "../../diagnostics/diagnostic.js";
import { bool, buildKernel, dot, f32, type KernelBuilder, u32, type Value, vector } from "../../ir/kernel/builder.js";
import type { Kernel } from "../../ir/kernel/kernel.js";
import { bindOperands, emitElement, operandReader } from "../elementwise/element-expression.js";
import { rowScale } from "../row-factors.js";
import { rowRange } from "../row-table.js";
import { times } from "../times.js";
import { defaultTuning } from "../tuning.js";
import { bindDeferred } from "./deferred-input.js";
import { fourInputs, storeFour } from "./four-inputs.js";
import { describeLinear, type LinearOptions, linearName, vectorType, vectorWidth } from "./options.js";
import { bindWeights } from "./weight-reader.js";

/** Invocations along each side of a tile. */
const side = 16;
/** Columns of one invocation, interleaved: invocation x has columns x, x + 16, x + 32, x + 48. Its rows are, likewise. */
const ownColumns = 4;

/** What a workgroup computes, and how much it brings in for a step. */
export interface LinearTile {
  readonly rows: number;
  readonly columns: number;
  /** Vectors of 4 inputs. */
  readonly depth: number;
}

/** The tile that the tuning asks for, or the largest below that the device has room for; undefined where it has room for none. */
export function linearTile(
  options: Pick<LinearOptions, "matrices" | "capabilities" | "tuning">,
): LinearTile | undefined {
  const { matrices, capabilities, tuning = defaultTuning } = options;
  const { maxWorkgroupSize, maxWorkgroupMemory } = capabilities.limits;
  const { tileRows, tileDepth } = defaultTuning;
  if (maxWorkgroupSize < side * side) return undefined;
  return [
    { rows: tuning.tileRows, depth: tuning.tileDepth },
    { rows: tuning.tileRows, depth: tileDepth },
    { rows: tileRows, depth: tuning.tileDepth },
    { rows: tileRows, depth: tileDepth },
  ]
    .map((shape) => ({ ...shape, columns: side * ownColumns }))
    .find(({ rows, columns, depth }) => (rows + matrices * columns) * stripStride(depth) * 16 <= maxWorkgroupMemory);
}

/** Padded so that neighbouring rows of a strip lie in different memory banks. */
const stripStride = (depth: number): number => depth + 1;

export function tiledLinear(options: LinearOptions): Kernel {
  const tile = linearTile(options);
  if (tile === undefined) throw new InternalError("no tile fits into the device's workgroup memory");
  const { rows, columns } = tile;
  return buildKernel(
    `${linearName(options)}_tiled`,
    {
      doc: `${describeLinear(options)} One workgroup computes a tile of ${rows} × ${columns}, an invocation ${rows / side} × ${ownColumns} of it.`,
      dispatch: `x: ceil(column_count / ${columns}) workgroups; y: ceil(row_count / ${rows})`,
      workgroupSize: side * side,
    },
    (k) => body(k, options, tile),
  );
}

/** A vector that an invocation brings into a strip. */
interface Piece {
  /** Row of the strip, and where in the strip's memory the vector goes. */
  readonly row: Value;
  readonly place: Value;
}

function body(k: KernelBuilder, options: LinearOptions, tile: LinearTile): void {
  const { inputs, outputs, matrices, norm, deferred } = options;
  const { depth } = tile;
  const stride = stripStride(depth);
  const ownRows = tile.rows / side;
  const range = rowRange(k);
  const columnBase = k.param("column_base");
  const columnCount = k.param("column_count");
  const partBase = k.param("part_base");

  const input = k.read("input", vectorType("f32", inputs));
  const undone = deferred && bindDeferred(k, deferred, inputs);
  const weights = bindWeights(k, options, vectorWidth(inputs), partBase);
  const normWeight = norm?.weight ? k.read("norm_weight", vectorType("f32", inputs), "weight") : undefined;
  const bias = options.bias ? k.read("bias", "f32", "weight") : undefined;
  const output = k.readWrite("output", "f32");
  const operands = bindOperands(k, options.operands, output);

  const inputStrip = k.workgroupArray("input_strip", "vec4<f32>", tile.rows * stride);
  const weightStrips = times(matrices, () => k.workgroupArray("weight_strip", "vec4<f32>", tile.columns * stride));

  const firstRow = k.let("first_row", k.workgroupId.y.mul(tile.rows));
  const firstColumn = k.let("first_column", k.workgroupId.x.mul(tile.columns));
  const x = k.let("x", k.localId.rem(side));
  const y = k.let("y", k.localId.div(side));

  // Every invocation brings the same vector of a step in, of the rows of a strip that are its own.
  const vectorOfStep = k.let("vector_of_step", k.localId.rem(depth));
  const rowsAtOnce = (side * side) / depth;
  const brought = k.let("brought", k.localId.div(depth));
  const pieces = times(
    Math.max(tile.rows, tile.columns) / rowsAtOnce,
    (index): Piece => ({
      row: brought.add(index * rowsAtOnce),
      place: k.let(
        `strip_place_${index}`,
        brought
          .add(index * rowsAtOnce)
          .mul(stride)
          .add(vectorOfStep),
      ),
    }),
  );
  const rowPieces = pieces.slice(0, tile.rows / rowsAtOnce).map((piece, index) => ({
    ...piece,
    there: k.let(`row_there_${index}`, firstRow.add(piece.row).lt(range.count)),
    inputRow: k.let(`input_row_${index}`, range.base.add(firstRow).add(piece.row)),
    loaded: fourInputs(k, "x4", input, inputs),
    squares: norm && k.var("squares", f32(0)),
    factor: deferred && k.var("branch_factor", f32(0)),
  }));
  const columnPieces = pieces.slice(0, tile.columns / rowsAtOnce).map((piece, index) => ({
    ...piece,
    there: k.let(`column_there_${index}`, firstColumn.add(piece.row).lt(columnCount)),
    weightRow: k.let(`weight_row_${index}`, columnBase.add(firstColumn).add(piece.row)),
    loaded: times(matrices, () => weights.four("w4")),
  }));
  const gain = normWeight && fourInputs(k, "gain", normWeight, inputs);
  const sums = times(matrices * ownRows * ownColumns, (index) => k.var(`sum_${index}`, f32(0)));

  /** Adds up, over the invocations that bring in one row, what each has found. */
  const sumOfRow = (found: readonly Value[]): ((row: Value) => Value) => {
    rowPieces.forEach(({ place }, index) => {
      inputStrip.set(place, vector("f32", [found[index]!, 0, 0, 0]));
    });
    k.barrier();
    return (row) => {
      const part = (index: number) => inputStrip.at(row.mul(stride).add(index)).x;
      return times(depth, part).reduce((a, b) => a.add(b));
    };
  };
  /** Finishes four elements of a row that a norm before left undone; the first columns' workgroups write them down. */
  const finishFour = (branch: Value, factor: Value, inputRow: Value, first: Value, there: Value): Value => {
    const finished = undone!.finish(branch, factor, (memory, of) => {
      const four = fourInputs(k, "with4", memory, inputs);
      four.load(of === "row" ? inputRow : u32(0), first, there);
      return four.get();
    });
    const writes = k.let("writes", k.workgroupId.x.eq(0).and(there));
    storeFour(undone!.stream, inputs, inputRow, first, writes, finished);
    return finished;
  };
  if (deferred) {
    const found = rowPieces.map(() => k.var("branch_squares", f32(0)));
    k.for("start", { to: u32(inputs), step: 4 * depth }, (start) => {
      for (const { loaded, inputRow, there } of rowPieces) loaded.load(inputRow, start.add(vectorOfStep.mul(4)), there);
      rowPieces.forEach(({ loaded }, index) => {
        const branch = loaded.get();
        found[index]!.set(found[index]!.add(dot(branch, branch)));
      });
    });
    const sumOf = sumOfRow(found);
    for (const { row, factor } of rowPieces) factor!.set(rowScale(sumOf(row), inputs, deferred.epsilon));
    k.barrier();
  }

  /** Begins to load what the step at `start` needs, before the one before it is computed. Behind the rows' end there is nothing. */
  const fetch = (start: Value) => {
    const first = k.let("first_of_next", start.add(vectorOfStep.mul(4)));
    for (const { loaded, inputRow, there } of rowPieces) loaded.load(inputRow, first, there);
    gain?.load(u32(0), first, bool(true));
    for (const { loaded, weightRow, there } of columnPieces) {
      loaded.forEach((four, matrix) => {
        four.load(weightRow.add(matrix * outputs), first, there);
      });
    }
  };
  fetch(u32(0));
  k.for("start", { to: u32(inputs), step: 4 * depth }, (start) => {
    const first = k.let("first", start.add(vectorOfStep.mul(4)));
    const factors = gain?.get();
    for (const { place, loaded, inputRow, there, squares, factor } of rowPieces) {
      const raw = undone ? finishFour(loaded.get(), factor!, inputRow, first, there) : loaded.get();
      if (squares) squares.set(squares.add(dot(raw, raw)));
      inputStrip.set(place, factors ? raw.mul(factors) : raw);
    }
    for (const { place, loaded } of columnPieces) {
      weightStrips.forEach((strip, matrix) => {
        strip.set(place, loaded[matrix]!.get());
      });
    }
    k.barrier();
    fetch(start.add(4 * depth));
    k.for("step", { to: depth }, (step) => {
      const rows = times(ownRows, (i) =>
        k.let(
          `row_${i}`,
          inputStrip.at(
            y
              .add(i * side)
              .mul(stride)
              .add(step),
          ),
        ),
      );
      weightStrips.forEach((strip, matrix) => {
        for (let j = 0; j < ownColumns; j++) {
          const column = k.let(
            `column_${j}`,
            strip.at(
              x
                .add(j * side)
                .mul(stride)
                .add(step),
            ),
          );
          rows.forEach((row, i) => {
            const sum = sums[(matrix * ownRows + i) * ownColumns + j]!;
            sum.set(sum.add(dot(row, column)));
          });
        }
      });
    });
    k.barrier();
  });

  const squaresOf = norm && sumOfRow(rowPieces.map(({ squares }) => squares!));

  const columns = times(ownColumns, (j) => k.let(`own_column_${j}`, firstColumn.add(x).add(j * side)));
  for (let i = 0; i < ownRows; i++) {
    const row = k.let(`own_row_${i}`, y.add(i * side));
    const scale = norm && k.let(`scale_${i}`, rowScale(squaresOf!(row), inputs, norm.epsilon));
    const tableRow = range.base.add(firstRow).add(row);
    const tableStart = k.let(`table_start_${i}`, tableRow.mul(outputs).add(columnBase));
    const packed = options.outputRows === "packed";
    const outputStart = packed
      ? k.let(`output_start_${i}`, firstRow.add(row).mul(outputs).add(columnBase))
      : tableStart;
    k.if(firstRow.add(row).lt(range.count), () => {
      columns.forEach((column, j) => {
        k.if(column.lt(columnCount), () => {
          const outputColumn = columnBase.add(column);
          const accumulators = times(matrices, (matrix) => {
            const sum = sums[(matrix * ownRows + i) * ownColumns + j]!;
            const scaled = scale ? sum.mul(scale) : sum;
            return k.let("product", bias ? scaled.add(bias.at(outputColumn.add(matrix * outputs))) : scaled);
          });
          const read = operandReader(options.operands, operands, tableStart.add(column), outputColumn);
          output.set(outputStart.add(column), emitElement(k, options.epilogue, accumulators, read));
        });
      });
    });
  }
}
