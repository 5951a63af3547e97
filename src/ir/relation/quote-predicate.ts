/**
 * A part of a relation as its author wrote it, with its place; as arithmetic where it was not read from a file.
 */
import { describeSpan } from "../../source/source-file.js";
import type { Predicate } from "./predicate.js";
import { printPredicate } from "./print-predicate.js";

/** `` `k.copy == 1 and k.pos < q.pos` (std/phd.phd:12:29) ``. Line breaks and indentation become single spaces. */
export function quotePredicate(predicate: Predicate): string {
  const { span } = predicate;
  if (span === undefined) return `\`${printPredicate(predicate)}\``;
  const text = span.file.text.slice(span.start, span.end).replaceAll(/\s+/g, " ");
  return `\`${text}\` (${describeSpan(span)})`;
}
