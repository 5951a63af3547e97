import type { BlockBuilder } from "../../ir/graph/builder.js";
import type { Graph, Op, OpKind, ValueId } from "../../ir/graph/ops.js";
import { type Replacement, rewriteGraph } from "../../ir/graph/rewrite.js";
import { countReaders, eachOp } from "../../ir/graph/walk.js";
import { definePass, type Pass } from "../pass.js";
import { dropUnusedOps } from "../simplify/drop-unused-ops.js";

export class Producers {
  private readonly ops = new Map<ValueId, Op>();
  private readonly readers: ReadonlyMap<ValueId, number>;
  private order = 0;
  private readonly places = new Map<ValueId, number>();

  constructor(graph: Graph) {
    this.readers = countReaders(graph);
    for (const op of eachOp(graph)) this.note(op);
  }

  note(op: Op): void {
    for (const { id } of op.results) {
      this.ops.set(id, op);
      if (!this.places.has(id)) this.places.set(id, this.order++);
    }
  }

  /** The operation of this kind that makes the value, if it is of this kind. */
  of<K extends OpKind>(value: ValueId, ...kinds: readonly K[]): Extract<Op, { kind: K }> | undefined {
    const op = this.ops.get(value);
    return op !== undefined && (kinds as readonly OpKind[]).includes(op.kind)
      ? (op as Extract<Op, { kind: K }>)
      : undefined;
  }

  /** The same, if only one operation reads the value, so that making it there loses nothing. */
  ofOnly<K extends OpKind>(value: ValueId, ...kinds: readonly K[]): Extract<Op, { kind: K }> | undefined {
    return this.readers.get(value) === 1 ? this.of(value, ...kinds) : undefined;
  }

  /** The name of a value that an operation makes. */
  nameOf(value: ValueId): string {
    return this.ops.get(value)?.results.find(({ id }) => id === value)?.name ?? "value";
  }

  /** Where in program order a value is made; later is greater. */
  placeOf(value: ValueId): number {
    return this.places.get(value) ?? -1;
  }
}

/** A pass that looks for one pattern, ending at operations of one kind, and drops what it made unused. */
export function defineFusion<K extends OpKind>(
  name: string,
  kind: K,
  rule: (op: Extract<Op, { kind: K }>, producers: Producers, build: BlockBuilder) => Replacement,
): Pass {
  return definePass(name, (graph) => {
    const producers = new Producers(graph);
    const fused = rewriteGraph(graph, (op, build) => {
      const replacement = op.kind === kind ? rule(op as Extract<Op, { kind: K }>, producers, build) : op;
      if (replacement !== undefined && replacement.kind !== "replaced") producers.note(replacement);
      return replacement;
    });
    return dropUnusedOps.run(fused);
  });
}
