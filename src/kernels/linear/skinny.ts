/**
 * The product of a few input rows with a weight matrix: decode, where the weights are read once whatever the number of rows.
 *
 * One workgroup computes a few neighbouring columns for a block of rows. Its invocations walk the inputs side by side; each weight vector is
 * loaded once into registers and used for every row of the block. A norm costs no pass of its own: the sum of squares is gathered in the
 * same loop, and because it scales a whole row, it is applied to the finished sums.
 */

import {
  buildKernel,
  constantOf,
  type KernelBuilder,
  min,
  select,
  type Value,
  vectorOf,
} from "../../ir/kernel/builder.js";
import type { Kernel } from "../../ir/kernel/kernel.js";
import { eachOwn, sumOverWorkgroup } from "../reduce.js";
import { product, rowScale } from "../row-factors.js";
import { rowRange } from "../row-table.js";
import { times } from "../times.js";
import { describeLinear, linearName } from "./options.js";
import { bindEpilogue } from "./product-epilogue.js";
import { bindInput } from "./skinny-inputs.js";
import { inputVector, type SkinnyLinearOptions, skinnyDivision, wordsOf } from "./skinny-options.js";
import { sharedBody } from "./skinny-shared.js";
import { bindWeights } from "./weight-reader.js";

export function skinnyLinear(options: SkinnyLinearOptions): Kernel {
  const { rows } = options;
  const division = skinnyDivision(options);
  const { columns, groups, lanes } = division;
  const shared = groups > 1 ? `; ${groups} groups of ${lanes} invocations share the inputs` : "";
  return buildKernel(
    `${linearName(options)}_m${rows}`,
    {
      doc: `${describeLinear(options)} One workgroup computes ${columns} columns of ${rows} ${rows === 1 ? "row" : "rows"}; every weight is loaded once${shared}.`,
      dispatch: `x and z: ceil(column_count / ${columns}) workgroups; y: ceil(row_count / ${rows})`,
      workgroupSize: groups * lanes,
    },
    (k) => (groups > 1 ? sharedBody(k, options, division) : ownBody(k, options, columns)),
  );
}

/** The loop of a workgroup whose invocations all have the same columns, and inputs of their own. */
function ownBody(k: KernelBuilder, options: SkinnyLinearOptions, columns: number): void {
  const { inputs, outputs, matrices, rows, norm, capabilities } = options;
  const width = inputVector(options);
  const vectors = inputs / width;
  const type = vectorOf("f32", width);
  const range = rowRange(k);
  const columnBase = k.param("column_base");
  const columnCount = k.param("column_count");
  const partBase = k.param("part_base");

  const bound = bindInput(k, options);
  const weights = bindWeights(k, options, width, partBase, wordsOf(options));
  const normWeight = norm?.weight ? k.read("norm_weight", type, "weight") : undefined;
  const finish = bindEpilogue(k, options, range);

  const firstRow = k.let("first_row", k.workgroupId.y.mul(rows));
  const block = k.workgroupId.z.mul(k.numWorkgroups.x).add(k.workgroupId.x);
  const firstColumn = k.let("first_column", block.mul(columns));
  // Rows beyond the range repeat the last one and are not stored, so the loop needs no test for them.
  const last = range.count.sub(1);
  const inputRows = times(rows, (row) => k.let(`row_${row}`, range.base.add(min(firstRow.add(row), last))));
  // Columns beyond the range are not read: it may end where the buffer ends.
  const present = times(columns, (column) =>
    column === 0 || options.wholeBlocks ? undefined : firstColumn.add(column).lt(columnCount),
  );
  const weightRows = times(matrices * columns, (place) => {
    const [matrix, column] = [Math.floor(place / columns), place % columns];
    return weights.row(`weight_row_${place}`, columnBase.add(matrix * outputs).add(firstColumn.add(column)));
  });

  const rowAt = (place: Value) => inputRows.reduceRight((rest, row, index) => select(place.eq(index), row, rest));
  const read = inputRows.map((row, place) => ({ row, place }));
  const input = bound.of(read, { range, firstRow, rows, rowAt, block });
  const sums = times(matrices * columns * rows, (index) => k.var(`sum_${index}`, constantOf("f32", 0)));
  const squares = norm ? times(rows, (row) => k.var(`square_${row}`, constantOf("f32", 0))) : [];
  k.if(firstColumn.lt(columnCount), () => {
    k.for("i", { from: k.localId, to: weights.blocks, step: k.workgroupSize }, (i) => {
      const blocks = weightRows.map((row, place) => row.load(i, present[place % columns]));
      for (let part = 0; part < weights.vectors; part++) {
        const own = blocks.map((block) => block(part));
        const at = weights.vectors === 1 ? i : k.let("at", i.mul(weights.vectors).add(part));
        // Behind the end of the row, the last vector is read and not used.
        const inRow = weights.whole ? at : k.let("at_most", min(at, vectors - 1));
        const gain = normWeight && k.let("gain", normWeight.at(inRow));
        for (let row = 0; row < rows; row++) {
          const finished = input.finish(row, inRow, input.load(row, inRow));
          const raw = k.let("x", weights.whole ? finished : select(at.lt(vectors), finished, 0));
          if (norm) squares[row]!.set(squares[row]!.add(product(raw, raw)));
          const x = gain ? k.let("scaled", raw.mul(gain)) : raw;
          own.forEach((w, place) => {
            const sum = sums[place * rows + row]!;
            sum.set(sum.add(product(w, x)));
          });
        }
      }
    });
  });
  input.keep?.();

  const totals = sumOverWorkgroup(k, [...sums, ...squares], capabilities);
  eachOwn(k, rows * columns, (own) => {
    const row = k.let("row", own.div(columns));
    const column = k.let("column", own.rem(columns));
    const edge = options.wholeBlocks ? firstColumn : firstColumn.add(column);
    const inside = firstRow.add(row).lt(range.count).and(edge.lt(columnCount));
    k.if(inside, () => {
      const outputColumn = k.let("output_column", columnBase.add(firstColumn).add(column));
      const scale = norm && k.let("scale", rowScale(totals.at(row.add(sums.length)), inputs, norm.epsilon));
      const ofRow = times(matrices, (matrix) =>
        totals.at(
          column
            .add(matrix * columns)
            .mul(rows)
            .add(row),
        ),
      );
      finish({ row: firstRow.add(row), column: outputColumn, sums: ofRow, scale });
    });
  });
}
