/**
 * The input of a product that a norm before it has left undone: a stream to which a normed branch is added (or another sum of
 * elements), computed by every workgroup for its rows.
 *
 * That saves the dispatch of the norm. The workgroups of the first columns write the rows down for whoever reads them later, to a buffer
 * that no workgroup of the dispatch reads.
 */
import type { KernelBuilder, Memory, Value, ValueType } from "../../ir/kernel/builder.js";
import { type ElementExpression, emitElement, type Operand } from "../elementwise/element-expression.js";
import { vectorType } from "./options.js";

export interface DeferredInput {
  readonly epsilon: number;
  /** Whether the norm has a gain, bound as `branch_gain`. */
  readonly weight: boolean;
  /** Sees the normed element of `input` as accumulator 0. Sums and products only, so that it works on vectors. */
  readonly expression: ElementExpression;
  /** Rows as wide as the input, bound in vectors. */
  readonly operands: readonly Operand[];
}

export interface BoundDeferred {
  /** The finished vector, from the branch's vector and the factor of its row; `read` reads a row or the gain at the same place. */
  finish(branch: Value, factor: Value, read: (memory: Memory, of: "row" | "column") => Value): Value;
  /** What `finish` reads, for those who load it beforehand. */
  readonly reads: readonly { readonly memory: Memory; readonly of: "row" | "column" }[];
  /** Where the finished rows go. */
  readonly stream: Memory;
}

/** Binds `branch_gain`, the operands, and `stream`; all in vectors of the input, the widest unless a type is given. */
export function bindDeferred(
  k: KernelBuilder,
  deferred: DeferredInput,
  inputs: number,
  type: ValueType = vectorType("f32", inputs),
): BoundDeferred {
  const gain = deferred.weight ? k.read("branch_gain", type, "weight") : undefined;
  const operands = new Map(
    deferred.operands.map(({ name, of }) => [
      name,
      {
        of: of === "column" ? ("column" as const) : ("row" as const),
        memory: k.read(name, type, of === "column" ? "weight" : "activation"),
      },
    ]),
  );
  const stream = k.readWrite("stream", type);
  return {
    stream,
    reads: [...(gain ? [{ memory: gain, of: "column" as const }] : []), ...operands.values()],
    finish: (branch, factor, read) => {
      const scaled = branch.mul(factor);
      const normed = k.let("normed", gain ? scaled.mul(read(gain, "column")) : scaled);
      const operand = (name: string) => {
        const { of, memory } = operands.get(name)!;
        return read(memory, of);
      };
      return k.let("x", emitElement(k, deferred.expression, [normed], operand));
    },
  };
}
