/**
 * How a workgroup of several groups brings its inputs into workgroup memory, once for all of them.
 *
 * A turn is one vector of every lane, of a few rows. Each invocation loads its lane's vector of some of these rows, while turns before are
 * multiplied, finishes it (a norm's gain, a norm that was left undone) and stores it. Turns alternate between two places in memory, so that
 * one barrier a turn is enough: what a turn overwrites was read before the barrier of the turn between.
 */
import { constantOf, f32, type KernelBuilder, type Memory, min, select, type Value } from "../../ir/kernel/builder.js";
import { product } from "../row-factors.js";
import { times } from "../times.js";
import type { InputRows } from "./skinny-inputs.js";
import type { SkinnyDivision } from "./skinny-options.js";

/** Vectors of a turn, 4 KiB. */
export const turnVectors = 256;

export interface TurnShape {
  /** Rows of a turn. */
  readonly rows: number;
  /** Turns that bring in a vector of all rows. */
  readonly count: number;
  /** Vectors that each invocation brings in. */
  readonly brought: number;
  /** Vectors of a turn. */
  readonly size: number;
}

/** Turns of a block of `rows` rows. */
export function turnShape(rows: number, { groups, lanes }: SkinnyDivision): TurnShape {
  const rowsOfTurn = Math.min(rows, turnVectors / lanes);
  return { rows: rowsOfTurn, count: rows / rowsOfTurn, brought: rowsOfTurn / groups, size: rowsOfTurn * lanes };
}

/** Places in the row of inputs. */
export interface TurnPlace {
  /** Number of the vector that the lane multiplies, and of the one after it. */
  readonly at: Value;
  readonly next: Value;
  /** Whether every lane has such a vector. */
  readonly whole: boolean;
  readonly nextWhole: boolean;
  /** Which of the two places of memory the turn takes, 0 or 1. */
  readonly parity: Value;
}

export interface InputTurns {
  readonly memory: Memory;
  /** Sums of the squares of the rows that the invocation brings in, its group's place behind every so many; for a norm. */
  readonly squares: readonly Value[];
  /** Begins to load the first turns, from the lane's first vector on. */
  begin(first: Value): void;
  /** Shows a turn to the workgroup and begins to load a later one; gives the lane's vector of a row of the turn. */
  take(turn: number, place: TurnPlace): (row: number) => Value;
}

export interface TurnOptions {
  readonly division: SkinnyDivision;
  readonly shape: TurnShape;
  readonly lane: Value;
  /** Rows that the invocation brings in: its group's place in the block, and every `groups`th behind it. */
  readonly input: InputRows;
  /** Vectors of a row. */
  readonly vectors: number;
  /** Whether squares are summed. */
  readonly norm: boolean;
  /** What inputs are multiplied by behind the norm. */
  readonly gain?: Memory | undefined;
}

export function inputTurns(k: KernelBuilder, options: TurnOptions): InputTurns {
  const { division, shape, lane, input, vectors, norm } = options;
  const memory = k.workgroupArray("inputs", "vec4<f32>", 2 * shape.size);
  const own = shape.count * shape.brought;
  const zeros = constantOf("vec4<f32>", 0);
  // Two turns ahead, or one where each vector is finished from several: registers are few.
  const ahead = Math.min(own, (input.loads === 1 ? 2 : 1) * shape.brought);
  const coming = times(ahead, (index) => times(input.loads, () => k.var(`coming_${index}`, zeros)));
  const gain = options.gain && k.var("gain", zeros);
  const squares = norm ? times(own, (index) => k.var(`square_${index}`, f32(0))) : [];

  const load = (indices: readonly number[], at: Value) => {
    for (const index of indices) {
      input.load(index, at).forEach((loaded, part) => {
        coming[index % ahead]![part]!.set(loaded);
      });
    }
  };
  /** Behind the end of the row, what was loaded before stays, and nobody uses it. */
  const where = (at: Value, certain: boolean, then: () => void) => (certain ? then() : k.if(at.lt(vectors), then));

  const bringIn = (index: number, piece: number, { at, whole, parity }: TurnPlace) => {
    const inRow = whole ? at : k.let("at_most", min(at, vectors - 1));
    const finished = input.finish(index, inRow, coming[index % ahead]!);
    const there = whole ? finished : select(at.lt(vectors), finished, 0);
    const x = norm ? k.let("brought", there) : there;
    squares[index]?.set(squares[index]!.add(product(x, x)));
    const place = parity.mul(shape.size).add(piece * k.workgroupSize);
    memory.set(place.add(k.localId), gain ? x.mul(gain) : x);
  };

  return {
    memory,
    squares,
    begin: (first) =>
      where(first, false, () => {
        load([...coming.keys()], first);
        gain?.set(options.gain!.at(first));
      }),
    take: (turn, place) => {
      const indices = times(shape.brought, (index) => turn * shape.brought + index);
      indices.forEach((index, piece) => {
        bringIn(index, piece, place);
      });
      k.barrier();
      const following = indices.map((index) => (index + ahead) % own);
      const sameVector = following[0]! > indices[0]!;
      const [at, certain] = sameVector ? [place.at, place.whole] : [place.next, place.nextWhole];
      where(at, certain, () => load(following, at));
      if (gain && turn === shape.count - 1) {
        where(place.next, place.nextWhole, () => gain.set(options.gain!.at(place.next)));
      }
      const start = place.parity.mul(shape.size).add(lane);
      return (row) => memory.at(start.add(row * division.lanes));
    },
  };
}
