import type { Predicate } from "../../ir/relation/predicate.js";

/** The parts of an `or`, also of an `or` inside it: what a relation lets see, each on its own. */
export function alternativesOf(predicate: Predicate): readonly Predicate[] {
  return predicate.kind === "or" ? predicate.parts.flatMap(alternativesOf) : [predicate];
}
