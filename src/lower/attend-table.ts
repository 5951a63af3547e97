/** The relations of a graph, each once: layers that state the same relation share it, and with it everything derived from it. */
import type { CheckedAttend } from "../dsl/check/checked-model.js";
import type { Attend } from "../ir/graph/ops.js";
import { printPredicateText } from "../ir/graph/text/predicate-text.js";

export class AttendTable {
  readonly attends: Attend[] = [];
  private readonly indices = new Map<string, number>();

  /** The index of a relation in the graph's list. */
  indexOf({ predicate, span }: CheckedAttend): number {
    // The text says nothing of spans: where a relation was written is not what it means.
    const key = printPredicateText(predicate);
    const known = this.indices.get(key);
    if (known !== undefined) return known;
    const index = this.attends.push({ predicate, origin: span }) - 1;
    this.indices.set(key, index);
    return index;
  }
}
