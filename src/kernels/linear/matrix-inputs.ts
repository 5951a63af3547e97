/**
 * What products of few rows multiply on matrix units: pairs of neighbouring inputs, as right operands want them. A lane has one row in
 * every block of eight.
 *
 * The rows lie in memory or in the splits of decode attention, or they are a norm that was left undone (`DeferredInput`). Every workgroup
 * goes through the branch of such a norm twice: for the squares, of which each subgroup adds up a part, and when it multiplies. The
 * second time the first-level cache has it.
 */
import {
  constantOf,
  dot,
  f32,
  type KernelBuilder,
  type Memory,
  min,
  u32,
  type Value,
  vector,
  vectorOf,
} from "../../ir/kernel/builder.js";
import { bindPartials } from "../attention/merge.js";
import { rowScale } from "../row-factors.js";
import type { RowRange } from "../row-table.js";
import { times } from "../times.js";
import { bindDeferred, type DeferredInput } from "./deferred-input.js";
import { depthTiles, productRows, tileSide } from "./matrix-fragments.js";
import { type LanePlace, shareSquares } from "./matrix-shares.js";
import type { LinearOptions } from "./options.js";

/** Where a lane stands, and the rows of its workgroup. */
export interface LaneRows extends LanePlace {
  readonly range: RowRange;
  /** Within the range. */
  readonly firstRow: Value;
  /** Blocks of eight rows. */
  readonly blocks: number;
}

/** What the lanes of a workgroup multiply. */
export interface InputRows {
  /**
   * Starts the loads of inputs `column` and `column + 1` of the lane's row in every block; what is returned finishes the pairs. Where
   * guarded, zeros for inputs that are not there.
   */
  load(column: Value, guarded: boolean): () => readonly Value[];
  /** Writes down rows that were computed here, once for all workgroups. */
  keep?(): void;
}

/** Binds the input. What is returned prepares the rows of a workgroup, and must be reached by all of it. */
export function bindInputRows(k: KernelBuilder, options: LinearOptions): (place: LaneRows) => InputRows {
  const { inputs, merge, deferred } = options;
  if (merge !== undefined) {
    // A load of attention's splits stays inside a head.
    const unit = unitOf(merge.width);
    const partials = bindPartials(k, merge, unit);
    const pairs = { width: inputs, unit, at: (row: Value, vector: Value) => partials.at(row, vector) };
    return (place) => loadsOf(k, pairs, rowsOfLane(k, place));
  }
  const input = k.read("input", vectorOf("f32", unitOf(inputs)));
  if (deferred !== undefined) return bindUndone(k, inputs, deferred, input);
  return (place) => loadsOf(k, pairsOf(input, inputs), rowsOfLane(k, place));
}

/** Binds a vector as long as a row of inputs; what is returned reads a pair of it. */
export function bindColumns(
  k: KernelBuilder,
  name: string,
  inputs: number,
): (column: Value, guarded: boolean) => Value {
  const pairs = pairsOf(k.read(name, vectorOf("f32", unitOf(inputs)), "weight"), inputs);
  return (column, guarded) => readPair(k, pairs, u32(0), column, guarded);
}

/** Rows of `width`, read by pairs. */
interface Pairs {
  readonly width: number;
  /** Elements of a load: pairs, unless they would straddle two rows. */
  readonly unit: 1 | 2;
  at(row: Value, vector: Value): Value;
}

const unitOf = (length: number): 1 | 2 => (length % 2 === 0 ? 2 : 1);

function pairsOf(memory: Memory, width: number): Pairs {
  const unit = unitOf(width);
  return { width, unit, at: (row, vector) => memory.at(row.mul(width / unit).add(vector)) };
}

/** Elements `column` and `column + 1` of a row. */
function readPair(k: KernelBuilder, { width, unit, at }: Pairs, row: Value, column: Value, guarded: boolean): Value {
  const read = (place: Value) => {
    if (!guarded) return k.let("raw", at(row, place.div(unit)));
    const loaded = k.var("raw", constantOf(vectorOf("f32", unit), 0));
    k.if(place.lt(width), () => loaded.set(at(row, place.div(unit))));
    return loaded;
  };
  return unit === 2 ? read(column) : k.let("raw_pair", vector("f32", [read(column), read(column.add(1))]));
}

/** Rows beyond the range repeat the last one and are not stored, so the loop needs no test for them. */
function rowsOfLane(k: KernelBuilder, { range, firstRow, rowOfLane, blocks }: LaneRows): Value[] {
  const last = range.count.sub(1);
  return times(blocks, (block) =>
    k.let(`input_row_${block}`, range.base.add(min(firstRow.add(block * productRows).add(rowOfLane), last))),
  );
}

function loadsOf(k: KernelBuilder, pairs: Pairs, rows: readonly Value[]): InputRows {
  return {
    load: (column, guarded) => {
      const loaded = rows.map((row) => readPair(k, pairs, row, column, guarded));
      return () => loaded;
    },
  };
}

/** Rows that a norm before the product has left undone. */
function bindUndone(k: KernelBuilder, inputs: number, deferred: DeferredInput, input: Memory) {
  const branch = pairsOf(input, inputs);
  const { finish, reads, stream } = bindDeferred(k, deferred, inputs, input.type);
  return (place: LaneRows): InputRows => {
    const rows = rowsOfLane(k, place);
    const factors = branchFactors(k, branch, rows, place, deferred.epsilon);
    const load = (column: Value, guarded: boolean) => {
      const pairOf = (memory: Memory, row: Value) => readPair(k, pairsOf(memory, inputs), row, column, guarded);
      const branches = rows.map((row) => readPair(k, branch, row, column, guarded));
      const loaded = reads.map(({ memory, of }) => {
        // An entry of a column serves every row.
        const alike = of === "column" ? pairOf(memory, u32(0)) : undefined;
        return [memory, rows.map((row) => alike ?? pairOf(memory, row))] as const;
      });
      const byMemory = new Map(loaded);
      return () =>
        branches.map((pair, block) => finish(pair, factors[block]!, (memory) => byMemory.get(memory)![block]!));
    };
    return { load, keep: () => keepRows(k, stream, inputs, place, load) };
  };
}

/** Loads of a lane that are under way together while squares are added up. */
const squaresInFlight = 16;

/** The factors of the lane's rows. Each subgroup adds up the squares of its part of every row. */
function branchFactors(
  k: KernelBuilder,
  branch: Pairs,
  rows: readonly Value[],
  place: LaneRows,
  epsilon: number,
): Value[] {
  const { subgroups, subgroup, pairOfLane, rowOfLane, blocks } = place;
  const tiles = depthTiles({ inputs: branch.width });
  const rounds = Math.ceil((tiles / subgroups) * ((2 * blocks) / squaresInFlight));
  const together = Math.ceil(tiles / subgroups / rounds);
  const whole = branch.width % tileSide === 0 && rounds * together * subgroups === tiles;
  const squares = rows.map(() => k.var("branch_square", f32(0)));
  const addRound = (round: Value) => {
    const first = k.let("first_tile", round.mul(subgroups).add(subgroup).mul(together));
    // All loads come before the first use of one.
    const loaded = times(2 * together, (half) => {
      const column = k.let(
        "column",
        first
          .mul(tileSide)
          .add(pairOfLane)
          .add(half * productRows),
      );
      return rows.map((row) => readPair(k, branch, row, column, !whole));
    });
    for (const pairs of loaded) {
      squares.forEach((square, block) => {
        square.set(square.add(dot(pairs[block]!, pairs[block]!)));
      });
    }
  };
  if (rounds === 1) addRound(u32(0));
  else k.for("round", { to: rounds }, addRound);
  const squaresOf = shareSquares(k, "branch_squares", squares, place);
  k.barrier();
  return rows.map((_, block) => {
    const total = squaresOf(rowOfLane.add(block * productRows));
    return k.let(`branch_factor_${block}`, rowScale(total, branch.width, epsilon));
  });
}

/**
 * Stores the finished rows, a tile of inputs at a time, which all workgroups divide. They are computed again for that: stores between the
 * loads of a product would keep those from being under way together.
 */
function keepRows(
  k: KernelBuilder,
  stream: Memory,
  inputs: number,
  { subgroups, subgroup, range, firstRow, rowOfLane, pairOfLane, blocks }: LaneRows,
  load: InputRows["load"],
): void {
  const unit = unitOf(inputs);
  const there = times(blocks, (block) =>
    k.let(
      "row_there",
      firstRow
        .add(block * productRows)
        .add(rowOfLane)
        .lt(range.count),
    ),
  );
  // The last subgroups have the least to do with the finished sums.
  const from = k.workgroupId.x.add(
    u32(subgroups - 1)
      .sub(subgroup)
      .mul(k.numWorkgroups.x),
  );
  const step = k.numWorkgroups.x.mul(subgroups);
  k.for("kept_tile", { from, to: u32(depthTiles({ inputs })), step }, (tile) => {
    for (const half of [0, productRows]) {
      const column = k.let("column", tile.mul(tileSide).add(pairOfLane).add(half));
      const pairs = load(column, inputs % tileSide !== 0)();
      pairs.forEach((pair, block) => {
        const row = range.base
          .add(firstRow)
          .add(block * productRows)
          .add(rowOfLane);
        const at = k.let("kept_at", row.mul(inputs / unit).add(column.div(unit)));
        if (unit === 2) stream.set(at, pair, { when: there[block]!.and(column.lt(inputs)) });
        else {
          stream.set(at, pair.x, { when: there[block]!.and(column.lt(inputs)) });
          stream.set(at.add(1), pair.y, { when: there[block]!.and(column.add(1).lt(inputs)) });
        }
      });
    }
  });
}
