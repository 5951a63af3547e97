import { evaluate } from "./expr.js";
import type { TableInfo } from "./manifest.js";

/**
 * Cosines and sines of a rotation table, f32 [rows][pairs][2], computed in float64: on a GPU they would be good to 2^-11 only, and
 * only near zero.
 */
export function ropeTable(table: TableInfo, rows: number): Float32Array<ArrayBuffer> {
  const { frequencies, over } = table;
  const amplitude = over === "pos" ? table.amplitude : 1;
  const values = new Float32Array(rows * frequencies.length * 2);
  let at = 0;
  for (let row = 0; row < rows; row++) {
    const index = evaluate(table.index, over === "pos" ? { pos: row } : { copy: row + 1 });
    for (const frequency of frequencies) {
      values[at++] = Math.cos(index * frequency) * amplitude;
      values[at++] = Math.sin(index * frequency) * amplitude;
    }
  }
  return values;
}
