/**
 * The `fragments` layout of weights (see `WeightInfo.layout`): in the order in which the lanes of a subgroup load the left operand of a
 * product on matrix units, so that a lane takes 16 bytes at once.
 *
 * Floats lie in 16 × 16 tiles, eight elements of each to a lane. Whole numbers of quantised weights lie in blocks of several such tiles
 * side by side, 32 or 16 numbers to a lane; the two halves of a word of an operand are half a word apart, so that one shift and one mask
 * bring both. Scales lie in the order of steps along the inputs: a lane finds those of its two rows in a word, and the words of a step
 * together.
 */
import type { Quantisation, WeightInfo } from "./manifest.js";
import { scalesOfRow, wordsOfRow } from "./quantise.js";

const side = 16;

/** Rows and columns of a matrix as it is stored, padded to whole tiles. */
export const fragmentLength = (length: number): number => roundUpTo(length, side);

/** Inputs of a matrix of small integers that lanes load with 16 bytes each. */
export const inputsOfLoad = ({ bits }: Pick<Quantisation, "bits">): number => 256 / bits;

/** Inputs of a step: whole loads and whole groups. Rows are padded with numbers to a multiple of it. */
export const inputsOfStep = (how: Quantisation): number => Math.max(inputsOfLoad(how), how.group);

/** Bytes of a row as fragments, padding included. */
export function fragmentRowBytes({ columns, quantised }: Pick<WeightInfo, "columns" | "quantised">): number {
  if (quantised === undefined) return 2 * fragmentLength(columns);
  const padded = roundUpTo(columns, inputsOfStep(quantised));
  return quantised.part === "values" ? (padded * quantised.bits) / 8 : (2 * padded) / quantised.group;
}

/** Where the elements of rows go. A place, counted in elements, is the sum of what the row and what the column add to it. */
interface Places {
  /** Bits of an element. */
  readonly bits: 4 | 8 | 16;
  /** Elements of a row that is not laid out. */
  readonly columns: number;
  ofRow(row: number): number;
  ofColumn(column: number): number;
}

function placesOf({ columns, quantised }: Pick<WeightInfo, "columns" | "quantised">): Places {
  if (quantised === undefined) return placesOfHalves(columns);
  return quantised.part === "values" ? placesOfNumbers(columns, quantised) : placesOfScales(columns, quantised);
}

function placesOfHalves(columns: number): Places {
  return {
    ...{ bits: 16, columns },
    ofRow: (row) => startOfBand(row, fragmentLength(columns)) + (row % 8) * 32 + (isLower(row) ? 2 : 0),
    ofColumn: (column) =>
      (column - (column % side)) * side + laneOfColumn(column) * 8 + (isLower(column) ? 4 : 0) + (column % 2),
  };
}

/** A lane's block of 16 bytes has the elements of its first tile, then those of the next. */
function placesOfNumbers(columns: number, how: Quantisation): Places {
  const { bits } = how;
  const perWord = 32 / bits;
  const perLane = 4 * perWord;
  const perLoad = inputsOfLoad(how);
  return {
    bits,
    // What is left of the last word of a row is stored with it.
    columns: wordsOfRow(columns, bits) * perWord,
    ofRow: (row) =>
      startOfBand(row, roundUpTo(columns, inputsOfStep(how))) + (row % 8) * 4 * perLane + (isLower(row) ? 1 : 0),
    ofColumn: (column) => {
      const inLoad = column % perLoad;
      const tile = Math.floor(inLoad / side);
      // Of the four pairs of a tile, those of the right half of its columns come last.
      const right = isLower(column) ? (bits === 4 ? 2 : perWord) : 0;
      return (
        (column - inLoad) * side + laneOfColumn(column) * perLane + tile * 8 + right + (column % 2) * (perWord / 2)
      );
    },
  };
}

function placesOfScales(columns: number, how: Quantisation): Places {
  const ofStep = inputsOfStep(how) / how.group;
  return {
    bits: 16,
    columns: scalesOfRow(columns, how.group),
    ofRow: (row) =>
      startOfBand(row, roundUpTo(columns, inputsOfStep(how)) / how.group) +
      (row % 8) * ofStep * 2 +
      (isLower(row) ? 1 : 0),
    ofColumn: (group) => (group - (group % ofStep)) * side + (group % ofStep) * 2,
  };
}

const startOfBand = (row: number, padded: number) => (row - (row % side)) * padded;
/** Whether a row or a column lies in the second half of its tile. */
const isLower = (place: number) => place % side >= side / 2;
/** Of the four lanes that hold a row, the one that holds a column. */
const laneOfColumn = (column: number) => (column % 8) >> 1;

/** Place of an element, in elements, among those of a matrix of halves with so many columns (not padded). */
export function fragmentPlace(row: number, column: number, columns: number): number {
  const places = placesOfHalves(columns);
  return places.ofRow(row) + places.ofColumn(column);
}

type Laid = Pick<WeightInfo, "columns" | "quantised">;

/** Puts rows that follow one another, from byte `offset` of all rows on, to their places among zeros. */
export function scatterFragments(info: Laid, target: Uint8Array, rows: Uint8Array, offset: number): void {
  const places = placesOf(info);
  const { bits } = places;
  const first = (offset * 8) / bits;
  const count = (rows.byteLength * 8) / bits;
  if (bits === 16) {
    const [to, from] = [halvesOf(target), halvesOf(rows)];
    eachPlace(places, first, count, (index, place) => {
      to[place] = from[index]!;
    });
  } else if (bits === 8) {
    eachPlace(places, first, count, (index, place) => {
      target[place] = rows[index]!;
    });
  } else {
    eachPlace(places, first, count, (index, place) => {
      target[place >> 1]! |= nibble(rows, index) << (4 * (place % 2));
    });
  }
}

/** The reverse: `length` bytes of rows, from byte `offset` of all rows on. */
export function gatherFragments(
  info: Laid,
  source: Uint8Array,
  offset: number,
  length: number,
): Uint8Array<ArrayBuffer> {
  const places = placesOf(info);
  const { bits } = places;
  const first = (offset * 8) / bits;
  const count = (length * 8) / bits;
  const rows = new Uint8Array(length);
  if (bits === 16) {
    const [to, from] = [halvesOf(rows), halvesOf(source)];
    eachPlace(places, first, count, (index, place) => {
      to[index] = from[place]!;
    });
  } else if (bits === 8) {
    eachPlace(places, first, count, (index, place) => {
      rows[index] = source[place]!;
    });
  } else {
    eachPlace(places, first, count, (index, place) => {
      rows[index >> 1]! |= nibble(source, place) << (4 * (index % 2));
    });
  }
  return rows;
}

const nibble = (bytes: Uint8Array, index: number) => (bytes[index >> 1]! >> (4 * (index % 2))) & 15;

/** The same bytes as halves; copied where they do not begin on one. */
function halvesOf(bytes: Uint8Array): Uint16Array {
  const at = bytes.byteOffset % 2 === 0 ? bytes : new Uint8Array(bytes);
  return new Uint16Array(at.buffer, at.byteOffset, at.byteLength / 2);
}

function eachPlace(
  { columns, ofRow, ofColumn }: Places,
  first: number,
  count: number,
  visit: (index: number, place: number) => void,
): void {
  const places = Float64Array.from({ length: columns }, (_, column) => ofColumn(column));
  let column = first % columns;
  let row = (first - column) / columns;
  let start = ofRow(row);
  for (let index = 0; index < count; index++) {
    visit(index, start + places[column]!);
    column++;
    if (column < columns) continue;
    column = 0;
    row++;
    start = ofRow(row);
  }
}

function roundUpTo(length: number, unit: number): number {
  return Math.ceil(length / unit) * unit;
}
