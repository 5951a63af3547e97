/**
 * The `fragments` layout of weights (see `WeightInfo.layout`): 16 × 16 tiles in the order in which the lanes of a subgroup hold the left
 * operand of a product on matrix units, so that a lane loads its eight elements at once.
 */

const side = 16;

/** Rows and columns of a matrix as it is stored, padded to whole tiles. */
export const fragmentLength = (length: number): number => Math.ceil(length / side) * side;

/** Place of an element, in elements, among those of a matrix with so many columns (not padded). */
export function fragmentPlace(row: number, column: number, columns: number): number {
  return placeOfRow(row, columns) + placeOfColumn(column);
}

/** A place is the sum of what the row and what the column add to it. */
function placeOfRow(row: number, columns: number): number {
  const inTile = row % side;
  return (row - inTile) * fragmentLength(columns) + (inTile % 8) * 32 + (inTile >= 8 ? 2 : 0);
}

function placeOfColumn(column: number): number {
  const inTile = column % side;
  return (column - inTile) * side + ((inTile % 8) >> 1) * 8 + (inTile >= 8 ? 4 : 0) + (inTile % 2);
}

/** Puts elements that follow one another in a row-major matrix, from number `first` on, to their places. */
export function scatterFragments(target: Uint16Array, elements: Uint16Array, first: number, columns: number): void {
  eachPlace(first, elements.length, columns, (index, place) => {
    target[place] = elements[index]!;
  });
}

/** The reverse: `count` elements that follow one another in the row-major matrix, from number `first` on. */
export function gatherFragments(
  source: Uint16Array,
  first: number,
  count: number,
  columns: number,
): Uint16Array<ArrayBuffer> {
  const elements = new Uint16Array(count);
  eachPlace(first, count, columns, (index, place) => {
    elements[index] = source[place]!;
  });
  return elements;
}

function eachPlace(first: number, count: number, columns: number, visit: (index: number, place: number) => void): void {
  const places = Uint32Array.from({ length: columns }, (_, column) => placeOfColumn(column));
  let column = first % columns;
  let row = (first - column) / columns;
  let start = placeOfRow(row, columns);
  for (let index = 0; index < count; index++) {
    visit(index, start + places[column]!);
    column++;
    if (column < columns) continue;
    column = 0;
    row++;
    start = placeOfRow(row, columns);
  }
}
