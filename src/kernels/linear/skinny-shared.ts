/**
 * The loop of a skinny product whose groups share their inputs: 8 or 16 rows, for which inputs would be more bytes than weights.
 *
 * Each group of invocations has a few columns of its own, and its lanes walk the rows of weights side by side, a load each. What they need of
 * the inputs, the whole workgroup brings into workgroup memory (see input-turns.ts). Weights go straight into the registers of the one
 * invocation that needs them: those of a step are loaded while those of the step before are used.
 */
import { f32, type KernelBuilder, min, select, u32, type Value, vector } from "../../ir/kernel/builder.js";
import { eachOwn } from "../reduce.js";
import { product, rowScale } from "../row-factors.js";
import { rowRange } from "../row-table.js";
import { times } from "../times.js";
import { inputTurns, turnShape } from "./input-turns.js";
import { bindEpilogue } from "./product-epilogue.js";
import { bindInput } from "./skinny-inputs.js";
import { type SkinnyDivision, type SkinnyLinearOptions, skinnyColumns, wordsOf } from "./skinny-options.js";
import { sumOverLanes } from "./sum-over-lanes.js";
import { bindWeights } from "./weight-reader.js";

/** Components of a vector of the input. */
const width = 4;

export function sharedBody(k: KernelBuilder, options: SkinnyLinearOptions, division: SkinnyDivision): void {
  const { inputs, outputs, matrices, rows, norm, wholeBlocks } = options;
  const { groups, lanes } = division;
  const columns = skinnyColumns(options);
  const range = rowRange(k);
  const columnBase = k.param("column_base");
  const columnCount = k.param("column_count");
  const partBase = k.param("part_base");

  const bound = bindInput(k, options);
  const weights = bindWeights(k, options, width, partBase, wordsOf(options));
  const gain = norm?.weight ? k.read("norm_weight", "vec4<f32>", "weight") : undefined;
  const finish = bindEpilogue(k, options, range);

  const lane = k.let("lane", k.localId.rem(lanes));
  const group = k.let("group", k.localId.div(lanes));
  const firstRow = k.let("first_row", k.workgroupId.y.mul(rows));
  const block = k.workgroupId.z.mul(k.numWorkgroups.x).add(k.workgroupId.x);
  const blockColumn = k.let("block_column", block.mul(division.columns));
  const firstColumn = k.let("first_column", blockColumn.add(group.mul(columns)));

  // Rows beyond the range repeat the last one and are not stored, so the loop needs no test for them.
  const last = k.let("last_row", range.count.sub(1));
  const rowAt = (place: Value) => range.base.add(min(firstRow.add(place), last));
  const brought = times(rows / groups, (index) => {
    const place = group.add(index * groups);
    return { place, row: rowAt(place) };
  });
  const input = bound.of(brought, { range, firstRow, rows, rowAt, block });
  const shape = turnShape(rows, division);
  const turns = inputTurns(k, {
    division,
    shape,
    lane,
    input,
    vectors: inputs / width,
    norm: norm !== undefined,
    gain,
  });

  const offsets = times(matrices * columns, (place) => Math.floor(place / columns) * outputs + (place % columns));
  const nextWeights = weights.ahead("weight_row", columnBase.add(firstColumn), offsets);
  const loadWeights = (next: Value) => {
    const all = () => {
      for (const block of nextWeights) block.load(next);
    };
    // What is not there stays what it was: its inputs are 0, or nobody stores its sums.
    k.if(firstColumn.lt(columnCount).and(next.lt(weights.blocks)), () => {
      if (wholeBlocks) return all();
      // A test for each column would stand between the loads of all of them.
      k.if(firstColumn.add(columns).le(columnCount), all, () => {
        nextWeights.forEach((block, place) => {
          k.if(firstColumn.add(place % columns).lt(columnCount), () => block.load(next));
        });
      });
    });
  };
  const sums = times(matrices * columns * rows, (index) => k.var(`sum_${index}`, f32(0)));

  /** Whether every lane has a block of weights in every step. */
  const whole = weights.whole && weights.blocks % lanes === 0;
  const turnsOfStep = weights.vectors * shape.count;
  loadWeights(lane);
  turns.begin(lane.mul(weights.vectors));
  k.for("step", { to: Math.ceil(weights.blocks / lanes) }, (step) => {
    const i = k.let("i", step.mul(lanes).add(lane));
    const own = nextWeights.map((block) => block.get(i));
    for (let part = 0; part < weights.vectors; part++) {
      const lastPart = part === weights.vectors - 1;
      const w = own.map((block) => block(part));
      const at = weights.vectors === 1 ? i : k.let("at", i.mul(weights.vectors).add(part));
      const next = k.let("next", lastPart ? i.add(lanes).mul(weights.vectors) : at.add(1));
      for (let turn = 0; turn < shape.count; turn++) {
        const turnOfStep = part * shape.count + turn;
        const parity = turnsOfStep % 2 === 0 ? u32(turnOfStep % 2) : step.add(turnOfStep).rem(2);
        const rowOfTurn = turns.take(turn, { at, next, whole, nextWhole: whole && !lastPart, parity });
        // Only now, when the registers of this step's weights are about to be free.
        if (lastPart && turn === 0) loadWeights(k.let("next_block", i.add(lanes)));
        for (let row = 0; row < shape.rows; row++) {
          const x = k.let("x", rowOfTurn(row));
          w.forEach((own, place) => {
            const sum = sums[place * rows + turn * shape.rows + row]!;
            sum.set(sum.add(product(own, x)));
          });
        }
      }
    }
  });
  input.keep?.();

  const places = matrices * columns;
  const foursOfRow = Math.ceil(places / 4);
  const ofRows = times(rows, (row) => fours(times(places, (place) => sums[place * rows + row]!)));
  const totals = sumOverLanes(k, [...ofRows.flat(), ...fours(turns.squares)], division, turns.memory, 2 * shape.size);
  /** The squares of a row are those of the group that has brought it in. */
  const squaresOf = (row: Value) => {
    const found = turns.squares.map((_, index) => {
      const four = rows * foursOfRow + Math.floor(index / 4);
      return totals.at(row.rem(groups).add(four * groups)).component(index % 4);
    });
    return found.reduceRight((rest, own, index) => select(row.div(groups).eq(index), own, rest));
  };
  eachOwn(k, rows * groups, (own) => {
    const row = k.let("row", own.div(groups));
    const of = k.let("of_group", own.rem(groups));
    const first = k.let("own_column", blockColumn.add(of.mul(columns)));
    k.if(firstRow.add(row).lt(range.count).and(first.lt(columnCount)), () => {
      const scale = norm && k.let("scale", rowScale(squaresOf(row), inputs, norm.epsilon));
      const ofRow = times(foursOfRow, (four) =>
        k.let("sums", totals.at(row.mul(foursOfRow).add(four).mul(groups).add(of))),
      );
      times(columns, (column) => {
        const store = () =>
          finish({
            row: firstRow.add(row),
            column: k.let("column", columnBase.add(first).add(column)),
            sums: times(matrices, (matrix) => {
              const place = matrix * columns + column;
              return ofRow[Math.floor(place / 4)]!.component(place % 4);
            }),
            scale,
          });
        if (wholeBlocks || column === 0) store();
        else k.if(first.add(column).lt(columnCount), store);
      });
    });
  });
}

/** Values four by four, the last ones with zeros. */
function fours(values: readonly Value[]): Value[] {
  return times(Math.ceil(values.length / 4), (four) =>
    vector(
      "f32",
      times(4, (component) => values[4 * four + component] ?? f32(0)),
    ),
  );
}
