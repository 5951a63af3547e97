/**
 * Which lane of a subgroup of 32 holds which element of a matrix fragment, for the product D = A × B + C of `m16n8k16`: A is
 * 16 × 16 and B is 16 × 8, of 16-bit floats; C and D are 16 × 8 of f32.
 *
 * A lane holds A as `vec4<u32>`, eight halves, low half first; B as `vec2<u32>`, four halves; C and D as `vec4<f32>`. These are
 * the layouts that the PTX manual gives for `mma.m16n8k16`; the interpreter and weight packing read them here.
 */

export interface Cell {
  readonly row: number;
  readonly column: number;
}

export const fragmentLanes = 32;
export const productShape = { rows: 16, columns: 8, depth: 16 } as const;

/** Halves of A in a lane: 0 … 7. Rows are outputs, columns run along the sum. */
export function cellOfA(lane: number, half: number): Cell {
  return {
    row: Math.floor(lane / 4) + (half % 4 >= 2 ? 8 : 0),
    column: (lane % 4) * 2 + (half % 2) + (half >= 4 ? 8 : 0),
  };
}

/** Halves of B in a lane: 0 … 3. Rows run along the sum. */
export function cellOfB(lane: number, half: number): Cell {
  return { row: (lane % 4) * 2 + (half % 2) + (half >= 2 ? 8 : 0), column: Math.floor(lane / 4) };
}

/** Components of C and D in a lane: 0 … 3. */
export function cellOfC(lane: number, component: number): Cell {
  return { row: Math.floor(lane / 4) + (component >= 2 ? 8 : 0), column: (lane % 4) * 2 + (component % 2) };
}

/** Halves of one 8 × 8 matrix that `matrix-load` leaves in a lane: 0 and 1. */
export function cellOfLoad(lane: number, half: number, transposed: boolean): Cell {
  const [along, across] = [(lane % 4) * 2 + half, Math.floor(lane / 4)];
  return transposed ? { row: along, column: across } : { row: across, column: along };
}
