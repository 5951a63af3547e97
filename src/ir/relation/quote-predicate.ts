/**
 * A part of a relation as its author wrote it, with its place; as arithmetic where it was not read from a file.
 */
import { describeSpan, textOfSpan } from "../../source/source-file.js";
import type { Predicate } from "./predicate.js";
import { printPredicate } from "./print-predicate.js";

/** `` `k.copy == 1 and k.pos < q.pos` (std/phd.phd:12:29) ``. */
export function quotePredicate(predicate: Predicate): string {
  const { span } = predicate;
  if (span === undefined) return `\`${printPredicate(predicate)}\``;
  return `\`${textOfSpan(span)}\` (${describeSpan(span)})`;
}
