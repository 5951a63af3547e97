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
import { wordsOfRow } from "../../runtime/quantise.js";
import { bindPartials } from "../attention/merge.js";
import { headVector } from "../attention/options.js";
import { bindOperands, emitElement, operandReader } from "../elementwise/element-expression.js";
import { eachOwn, sumOverWorkgroup } from "../reduce.js";
import { product, rowFactors, rowScale } from "../row-factors.js";
import { type RowRange, rowRange } from "../row-table.js";
import { times } from "../times.js";
import { defaultTuning } from "../tuning.js";
import { bindDeferred } from "./deferred-input.js";
import { describeLinear, type LinearOptions, linearName, vectorWidth } from "./options.js";
import { wordsOfLoad } from "./quantised-weights.js";
import { bindWeights, halvesInWords } from "./weight-reader.js";

/** Block sizes that have a kernel; other numbers of rows are rounded up, and more than 16 take several blocks. */
export const skinnyRows = [1, 2, 4, 8, 16] as const;

export interface SkinnyLinearOptions extends LinearOptions {
  /** Rows of a block, M. */
  readonly rows: (typeof skinnyRows)[number];
  /** The first column and the number of columns are always multiples of `skinnyColumns`, so no workgroup stands on an edge. */
  readonly wholeBlocks: boolean;
}

/** Output columns of one workgroup. More share an input load better, but 16 rows × 4 columns already fill the registers. */
export function skinnyColumns({
  matrices,
  tuning = defaultTuning,
}: Pick<LinearOptions, "matrices" | "tuning">): number {
  return Math.max(1, Math.floor(tuning.skinnyOutputs / matrices));
}

export function skinnyLinear(options: SkinnyLinearOptions): Kernel {
  const { rows } = options;
  const columns = skinnyColumns(options);
  return buildKernel(
    `${linearName(options)}_m${rows}`,
    {
      doc: `${describeLinear(options)} One workgroup computes ${columns} columns of ${rows} ${rows === 1 ? "row" : "rows"}; every weight is loaded once.`,
      dispatch: `x and z: ceil(column_count / ${columns}) workgroups; y: ceil(row_count / ${rows})`,
      workgroupSize: workgroupSize(options),
    },
    (k) => body(k, options, columns),
  );
}

/**
 * A large GPU needs some megabytes of loads under way to use its bandwidth. Every invocation has one load per column in flight, so
 * narrow outputs take larger workgroups; no workgroup is larger than a row of weights has loads.
 */
function workgroupSize(options: SkinnyLinearOptions): number {
  const { outputs, matrices, capabilities, tuning = defaultTuning } = options;
  const blocks = blocksOfRow(options);
  const wanted = tuning.inFlight / (outputs * matrices);
  let size = 64;
  while (size < wanted && size < 256) size *= 2;
  while (size > 32 && size > blocks) size /= 2;
  return Math.min(size, capabilities.limits.maxWorkgroupSize);
}

function body(k: KernelBuilder, options: SkinnyLinearOptions, columns: number): void {
  const { inputs, outputs, matrices, rows, norm, capabilities } = options;
  const width = inputVector(options);
  const vectors = inputs / width;
  const type = vectorOf("f32", width);
  const range = rowRange(k);
  const columnBase = k.param("column_base");
  const columnCount = k.param("column_count");
  const partBase = k.param("part_base");

  const bound = bindInput(k, options, vectors);
  const weights = bindWeights(k, options, width, partBase, wordsOf(options));
  const normWeight = norm?.weight ? k.read("norm_weight", type, "weight") : undefined;
  const bias = options.bias ? k.read("bias", "f32", "weight") : undefined;
  const output = k.readWrite("output", "f32");
  const operands = bindOperands(k, options.operands, output);

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

  const input = bound.of(inputRows, { range, firstRow, block });
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
          const read = input.at(row, inRow);
          const raw = k.let("x", weights.whole ? read : select(at.lt(vectors), read, 0));
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
      const accumulators = times(matrices, (matrix) => {
        const total = totals.at(
          column
            .add(matrix * columns)
            .mul(rows)
            .add(row),
        );
        const scaled = scale ? total.mul(scale) : total;
        return k.let("product", bias ? scaled.add(bias.at(outputColumn.add(matrix * outputs))) : scaled);
      });
      const tableRow = range.base.add(firstRow).add(row);
      const outputRow = options.outputRows === "packed" ? firstRow.add(row) : tableRow;
      const place = k.let("place", outputRow.mul(outputs).add(outputColumn));
      const element = options.outputRows === "packed" ? tableRow.mul(outputs).add(outputColumn) : place;
      const read = operandReader(options.operands, operands, element, outputColumn);
      output.set(place, emitElement(k, options.epilogue, accumulators, read));
    });
  });
}

/** Loads of a row of weights. */
function blocksOfRow(options: SkinnyLinearOptions): number {
  const { inputs, quantised } = options;
  if (quantised) return wordsOfRow(inputs, quantised.bits) / wordsOf(options);
  return wordsOf(options) === 4 ? inputs / 8 : inputs / inputVector(options);
}

/** With more rows than this, eight weights of each column leave too few registers. */
const mostRowsOfHalves = 8;

/** Words of one load, where weights are read by words. */
function wordsOf(options: SkinnyLinearOptions): 1 | 2 | 4 {
  const { inputs, quantised, rows, tuning = defaultTuning } = options;
  if (quantised) return wordsOfLoad(inputs, quantised, Math.floor(tuning.loadedWords / rows));
  return rows <= mostRowsOfHalves && halvesInWords(options, inputVector(options)) ? 4 : 1;
}

/** Elements of one load of the input. Attention's splits are laid out by head, so a vector may not straddle two heads there. */
function inputVector({ inputs, merge }: LinearOptions): 1 | 2 | 4 {
  return merge ? headVector(merge.width) : vectorWidth(inputs);
}

/** What the workgroup multiplies. */
interface InputRows {
  /** Vector `i` of one of its rows, by place in the block. */
  at(row: number, i: Value): Value;
  /** Writes down rows that were computed here, once for all workgroups. */
  keep?(): void;
}

/** Where a workgroup stands. */
interface BlockPlace {
  readonly range: RowRange;
  readonly firstRow: Value;
  /** Of columns, among all of the dispatch. */
  readonly block: Value;
}

interface BoundInput {
  /** Prepares the rows of a block. Must be reached by the whole workgroup. */
  of(rows: readonly Value[], place: BlockPlace): InputRows;
}

function bindInput(k: KernelBuilder, options: SkinnyLinearOptions, vectors: number): BoundInput {
  const { merge, deferred, inputs } = options;
  if (merge) {
    const partials = bindPartials(k, merge);
    return { of: (rows) => ({ at: (row, i) => partials.at(rows[row]!, i) }) };
  }
  const input = k.read("input", vectorOf("f32", inputVector(options)));
  const stored = (rows: readonly Value[]) => (row: number, i: Value) => input.at(rows[row]!.mul(vectors).add(i));
  if (deferred === undefined) return { of: (rows) => ({ at: stored(rows) }) };

  const { finish, stream } = bindDeferred(k, deferred, inputs);
  const finished = (place: Value, i: Value, factor: Value) =>
    finish(input.at(place), factor, (memory, of) => memory.at(of === "row" ? place : i));
  return {
    of: (rows, { range, firstRow, block }) => {
      const factors = rowFactors(k, rows.length);
      const rowAt = (place: Value) => rows.reduceRight((rest, row, index) => select(place.eq(index), row, rest));
      factors.compute(
        {
          ...{ count: rows.length, width: inputs, vectors, epsilon: deferred.epsilon },
          at: (place, i) => input.at(rowAt(place).mul(vectors).add(i)),
        },
        0,
      );
      k.barrier();
      const own = times(rows.length, (row) => k.let(`factor_${row}`, factors.memory.at(row)));
      return {
        at: (row, i) => finished(k.let("input_at", rows[row]!.mul(vectors).add(i)), i, own[row]!),
        // Not in the loop over the inputs: a store that only some workgroups make would keep the loads behind it from being under way,
        // in all of them. Each workgroup computes a few vectors again.
        keep: () => {
          const present = k.let("rows_present", min(range.count.sub(firstRow), rows.length));
          const step = k.numWorkgroups.x.mul(k.numWorkgroups.z).mul(k.workgroupSize);
          const from = block.mul(k.workgroupSize).add(k.localId);
          k.for("kept", { from, to: present.mul(vectors), step }, (kept) => {
            const row = k.let("kept_row", kept.div(vectors));
            const i = k.let("kept_vector", kept.rem(vectors));
            const place = k.let("kept_at", range.base.add(firstRow).add(row).mul(vectors).add(i));
            stream.set(place, finished(place, i, factors.memory.at(row)));
          });
        },
      };
    },
  };
}
