import { type Predicate, sees } from "../../ir/relation/predicate.js";
import { spend } from "../../ir/relation/work.js";
import type { Repetition } from "./repetition.js";

/** Who sees whom in a relation that repeats, for every place in the period and every distance: asked once. */
export class SightTable {
  /** Distances that are told apart. */
  readonly distances: number;
  private readonly seen: Uint8Array;

  constructor(
    predicate: Predicate,
    private readonly repetition: Repetition,
    private readonly copies: number,
  ) {
    const { period, reach } = repetition;
    this.distances = reach + period;
    spend(Math.ceil((period * this.distances * copies * copies) / 2));
    this.seen = new Uint8Array(period * copies * this.distances * copies);
    let at = 0;
    for (let place = 0; place < period; place++) {
      for (let copy = 1; copy <= copies; copy++) {
        // Far enough from the first position for every key that is asked for.
        const query = { pos: place + this.distances * period, copy };
        for (let distance = 0; distance < this.distances; distance++) {
          for (let ofKey = 1; ofKey <= copies; ofKey++) {
            if (sees(predicate, query, { pos: query.pos - distance, copy: ofKey })) this.seen[at] = 1;
            at++;
          }
        }
      }
    }
  }

  /** Whether a query at a place of the period sees a key so many positions before it. */
  sees(place: number, copy: number, distance: number, ofKey: number): boolean {
    const { period, reach } = this.repetition;
    const folded = distance < this.distances ? distance : reach + ((distance - reach) % period);
    return this.seen[((place * this.copies + copy - 1) * this.distances + folded) * this.copies + ofKey - 1] !== 0;
  }
}
