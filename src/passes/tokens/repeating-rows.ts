/**
 * Rows of one prompt before its end, listed near the end and repeating before that.
 *
 * Rows are told by their distance from the last position, in positions, and their copy. From some distance on, the place of the position
 * in the period decides.
 */

export interface RepeatingRows {
  /** Positions that are listed. */
  readonly listed: number;
  /** [distance][copy - 1], for distances below `listed`. */
  readonly near: Uint8Array;
  /** [position mod period][copy - 1], for all positions before. */
  readonly far: Uint8Array;
}

/** Where a prompt ends, and what its rows are made of. */
export interface PromptEnd {
  readonly period: number;
  readonly copies: number;
  /** The last position. Far enough from the first one for all that is listed. */
  readonly last: number;
}

const placeOf = ({ period, last }: PromptEnd, distance: number) => (last - distance) % period;

export function hasRow(rows: RepeatingRows, end: PromptEnd, distance: number, copy: number): boolean {
  const index =
    distance < rows.listed ? distance * end.copies + copy - 1 : placeOf(end, distance) * end.copies + copy - 1;
  return (distance < rows.listed ? rows.near : rows.far)[index] !== 0;
}

/**
 * Lists what a test says of the first distances. The last period of them says what repeats, and what is listed ends as early as the
 * rows repeat.
 */
export function listRows(
  end: PromptEnd,
  distances: number,
  holds: (distance: number, copy: number) => boolean,
): RepeatingRows {
  const { copies, period } = end;
  const near = new Uint8Array(distances * copies);
  for (let distance = 0; distance < distances; distance++) {
    for (let copy = 1; copy <= copies; copy++) if (holds(distance, copy)) near[distance * copies + copy - 1] = 1;
  }
  const far = new Uint8Array(period * copies);
  for (let distance = distances - period; distance < distances; distance++) {
    far.set(near.subarray(distance * copies, (distance + 1) * copies), placeOf(end, distance) * copies);
  }
  let listed = distances;
  const repeats = (distance: number) => {
    const place = placeOf(end, distance) * copies;
    for (let at = 0; at < copies; at++) if (near[distance * copies + at] !== far[place + at]) return false;
    return true;
  };
  while (listed > 0 && repeats(listed - 1)) listed--;
  return { listed, near: near.subarray(0, listed * copies), far };
}
