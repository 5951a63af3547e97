/** The relations of a graph, each once: layers that state the same relation share it, and with it everything derived from it. */
import type { CheckedAttend } from "../dsl/check/checked-model.js";
import type { Attend } from "../ir/graph/ops.js";

export class AttendTable {
  readonly attends: Attend[] = [];
  private readonly indices = new Map<string, number>();

  /** The index of a relation in the graph's list. */
  indexOf({ predicate, span }: CheckedAttend): number {
    // Spans say where a relation was written, not what it means.
    const key = JSON.stringify(predicate, (name, part: unknown) => (name === "span" ? undefined : part));
    const known = this.indices.get(key);
    if (known !== undefined) return known;
    const index = this.attends.push({ predicate, origin: span }) - 1;
    this.indices.set(key, index);
    return index;
  }
}
