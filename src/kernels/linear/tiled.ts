/**
 * The product of many input rows with a weight matrix: prefill.
 *
 * One workgroup computes a square tile of the output. It walks the inputs in steps of 16: the invocations bring a strip of input rows and
 * of weight rows into workgroup memory, then each multiplies 4 rows by 4 columns. Edges are predicated, so any size works. A norm is
 * applied to the finished sums, as in the skinny kernel; its squares are gathered while the strips are brought in.
 */

import {
  buildKernel,
  dot,
  f32,
  type KernelBuilder,
  type Memory,
  u32,
  type Value,
  vector,
} from "../../ir/kernel/builder.js";
import type { Kernel } from "../../ir/kernel/kernel.js";
import { bindOperands, emitElement, operandReader } from "../elementwise/element-expression.js";
import { rowScale } from "../row-factors.js";
import { rowRange } from "../row-table.js";
import { times } from "../times.js";
import { bindDeferred } from "./deferred-input.js";
import { fourInputs, storeFour } from "./four-inputs.js";
import { describeLinear, type LinearOptions, linearName, vectorType, vectorWidth } from "./options.js";
import { bindWeights } from "./weight-reader.js";

/** Rows and columns of an output tile. */
export const linearTile = 64;
/** Rows (and columns) of one invocation, interleaved: invocation x has columns x, x + 16, x + 32, x + 48. */
const perInvocation = 4;
const side = linearTile / perInvocation;
/** Inputs of one step, in vectors of 4: each invocation brings one vector of a strip. */
const stepVectors = 4;
/** Padded so that neighbouring rows of a strip lie in different memory banks. */
const stripStride = stepVectors + 1;

export function tiledLinear(options: LinearOptions): Kernel {
  return buildKernel(
    `${linearName(options)}_tiled`,
    {
      doc: `${describeLinear(options)} One workgroup computes a tile of ${linearTile} × ${linearTile}, an invocation ${perInvocation} × ${perInvocation} of it.`,
      dispatch: `x: ceil(column_count / ${linearTile}) workgroups; y: ceil(row_count / ${linearTile})`,
      workgroupSize: side * side,
    },
    (k) => body(k, options),
  );
}

function body(k: KernelBuilder, options: LinearOptions): void {
  const { inputs, outputs, matrices, norm, deferred } = options;
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

  const inputStrip = k.workgroupArray("input_strip", "vec4<f32>", linearTile * stripStride);
  const weightStrips = times(matrices, () => k.workgroupArray("weight_strip", "vec4<f32>", linearTile * stripStride));

  const firstRow = k.let("first_row", k.workgroupId.y.mul(linearTile));
  const firstColumn = k.let("first_column", k.workgroupId.x.mul(linearTile));
  const x = k.let("x", k.localId.rem(side));
  const y = k.let("y", k.localId.div(side));
  // What this invocation brings in: one vector of input row and of weight row `brought`.
  const brought = k.let("brought", k.localId.div(stepVectors));
  const quarter = k.let("quarter", k.localId.rem(stepVectors));
  const place = k.let("strip_place", brought.mul(stripStride).add(quarter));
  const rowThere = k.let("row_there", firstRow.add(brought).lt(range.count));
  const columnThere = k.let("column_there", firstColumn.add(brought).lt(columnCount));
  const inputRow = k.let("input_row", range.base.add(firstRow).add(brought));
  const weightRow = k.let("weight_row", columnBase.add(firstColumn).add(brought));

  const sums = times(matrices * perInvocation * perInvocation, (index) => k.var(`sum_${index}`, f32(0)));
  const squares = norm && k.var("squares", f32(0));

  /** Adds up, over the invocations that bring in one row, what each has found. */
  const sumOfRow = (own: Value): ((row: Value) => Value) => {
    inputStrip.set(place, vector("f32", [own, 0, 0, 0]));
    k.barrier();
    return (row) => {
      const part = (index: number) => inputStrip.at(row.mul(stripStride).add(index)).x;
      return times(stepVectors, part).reduce((a, b) => a.add(b));
    };
  };
  const bring = (name: string, memory: Memory, first: Value, of: "row" | "column" = "row") =>
    fourInputs(k, name, memory, inputs, of === "row" ? inputRow : u32(0), first, rowThere);
  const factor = deferred && k.var("branch_factor", f32(0));
  if (deferred) {
    const found = k.var("branch_squares", f32(0));
    k.for("start", { to: u32(inputs), step: 4 * stepVectors }, (start) => {
      const branch = bring("branch", input, start.add(quarter.mul(4)));
      found.set(found.add(dot(branch, branch)));
    });
    factor!.set(rowScale(sumOfRow(found)(brought), inputs, deferred.epsilon));
    k.barrier();
  }

  k.for("start", { to: u32(inputs), step: 4 * stepVectors }, (start) => {
    const first = k.let("first", start.add(quarter.mul(4)));
    const stored = bring("x4", input, first);
    const raw = undone ? undone.finish(stored, factor!, (memory, of) => bring("with4", memory, first, of)) : stored;
    if (undone) {
      const writes = k.let("writes", k.workgroupId.x.eq(0).and(rowThere));
      storeFour(undone.stream, inputs, inputRow, first, writes, raw);
    }
    if (squares) squares.set(squares.add(dot(raw, raw)));
    const gain = normWeight && fourInputs(k, "gain", normWeight, inputs, u32(0), first, rowThere);
    inputStrip.set(place, gain ? raw.mul(gain) : raw);
    weightStrips.forEach((strip, matrix) => {
      strip.set(place, weights.four("w4", weightRow.add(matrix * outputs), first, columnThere));
    });
    k.barrier();
    k.for("step", { to: stepVectors }, (step) => {
      const rows = times(perInvocation, (i) =>
        k.let(
          `row_${i}`,
          inputStrip.at(
            y
              .add(i * side)
              .mul(stripStride)
              .add(step),
          ),
        ),
      );
      weightStrips.forEach((strip, matrix) => {
        for (let j = 0; j < perInvocation; j++) {
          const column = k.let(
            `column_${j}`,
            strip.at(
              x
                .add(j * side)
                .mul(stripStride)
                .add(step),
            ),
          );
          rows.forEach((row, i) => {
            const sum = sums[(matrix * perInvocation + i) * perInvocation + j]!;
            sum.set(sum.add(dot(row, column)));
          });
        }
      });
    });
    k.barrier();
  });

  const squaresOf = squares && sumOfRow(squares);

  const columns = times(perInvocation, (j) => k.let(`own_column_${j}`, firstColumn.add(x).add(j * side)));
  for (let i = 0; i < perInvocation; i++) {
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
            const sum = sums[(matrix * perInvocation + i) * perInvocation + j]!;
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
