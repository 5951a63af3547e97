import { constant, variable } from "../../ir/relation/affine.js";
import type { Constraint } from "../../ir/relation/constraint.js";
import { atMost, contextOf } from "../../ir/relation/integer-set.js";

/** What holds of every pair of tokens, over `q.pos`, `q.copy`, `k.pos` and `k.copy`. */
export function tokenContext(copies: number): readonly Constraint[] {
  const sides = ["q", "k"].flatMap((side) => [
    atMost(constant(0), variable(`${side}.pos`)),
    atMost(constant(1), variable(`${side}.copy`)),
    atMost(variable(`${side}.copy`), constant(copies)),
  ]);
  return contextOf(...sides);
}
