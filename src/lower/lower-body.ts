/** The operations of one body, in order, under the names of the model. */

import { InternalError, unreachable } from "../diagnostics/diagnostic.js";
import type { CheckedBody, CheckedOp, LayersOp } from "../dsl/check/checked-model.js";
import type { BlockBuilder, PlainOp } from "../ir/graph/builder.js";
import type { ValueId } from "../ir/graph/ops.js";
import type { AttendTable } from "./attend-table.js";
import { lowerLayers } from "./lower-layers.js";
import { lowerRotation } from "./lower-rotation.js";

/** What all bodies of a graph share. */
export interface LoweringState {
  readonly copies: number;
  readonly attends: AttendTable;
}

export class BodyLowering {
  private readonly values = new Map<CheckedOp, ValueId>();

  constructor(
    readonly block: BlockBuilder,
    private readonly body: CheckedBody,
    readonly state: LoweringState,
  ) {}

  lowerOps(): void {
    for (const op of this.body.ops) {
      if (op.kind === "layers") this.lowerLoop(op);
      else if (op.kind !== "carried" && op.kind !== "loop-result") this.define(op, this.lowerOp(op));
    }
  }

  define(op: CheckedOp, value: ValueId): void {
    this.values.set(op, value);
  }

  valueOf(op: CheckedOp): ValueId {
    const value = this.values.get(op);
    if (value !== undefined) return value;
    // A weight that an outer block has named is declared again here, and what is computed from weights alone is computed again: each
    // body lists the tensors it reads.
    if (hasRows(op) || op.kind === "carried" || op.kind === "loop-result") {
      throw new InternalError(`${op.kind} is used before it is computed`);
    }
    const declared = this.lowerOp(op);
    this.define(op, declared);
    return declared;
  }

  nameOf(op: CheckedOp): string {
    return this.body.names.get(op) ?? defaultName(op.kind);
  }

  private lowerLoop(loop: LayersOp): void {
    const results = lowerLayers(loop, this);
    for (const op of this.body.ops) {
      if (op.kind === "loop-result" && op.loop === loop) this.define(op, results[op.index]!);
    }
  }

  private lowerOp(op: Exclude<CheckedOp, { kind: "carried" | "loop-result" }>): ValueId {
    // Inputs and weights have better default names than their kinds: the builder takes a weight's from its tensor.
    const name = this.body.names.get(op);
    const origin = op.span;
    if (op.kind === "input") return this.block.input(name, origin);
    if (op.kind === "weight") {
      const shape = op.type.dims.map((dim) => (dim.kind === "size" ? dim.size.value : 0));
      return this.block.weight(op.tensor, shape, name, origin);
    }
    return this.block.add({ ...this.lowerPlain(op), origin } as PlainOp, this.nameOf(op));
  }

  private lowerPlain(op: Exclude<CheckedOp, { kind: "carried" | "loop-result" | "input" | "weight" }>): PlainOp {
    const value = (operand: CheckedOp) => this.valueOf(operand);
    switch (op.kind) {
      case "embed":
        return { kind: "embed", ids: value(op.ids), table: value(op.table) };
      case "repeat":
        return { kind: "repeat-tokens", input: value(op.input), copies: this.state.copies };
      case "linear": {
        const bias = op.bias === undefined ? {} : { bias: value(op.bias) };
        return { kind: "linear", input: value(op.input), weight: value(op.weight), ...bias };
      }
      case "rms-norm": {
        const weight = op.weight === undefined ? {} : { weight: value(op.weight) };
        return { kind: "rms-norm", input: value(op.input), ...weight, epsilon: op.epsilon };
      }
      case "split":
        return { kind: "split-heads", input: value(op.input), heads: op.heads };
      case "merge":
        return { kind: "merge-heads", input: value(op.input) };
      case "rope": {
        const index = lowerRotation(op.index);
        return { kind: "rope", input: value(op.input), frequencies: op.frequencies, index, amplitude: 1 };
      }
      case "attention": {
        const attend = this.state.attends.indexOf(op.attend);
        const operands = { query: value(op.query), key: value(op.key), value: value(op.value) };
        return { kind: "attention", ...operands, attend, scale: op.scale };
      }
      case "unary":
        return { kind: "unary", function: op.function, input: value(op.input) };
      case "binary":
        return { kind: "binary", function: op.function, left: value(op.left), right: value(op.right) };
      case "scale":
        return { kind: "scale", input: value(op.input), factor: op.factor, offset: op.offset };
      default:
        return unreachable(op);
    }
  }
}

/** Whether a tensor has one row per position or token; weights, and what is computed from them alone, have none. */
export function hasRows(op: CheckedOp): boolean {
  return op.type.dims[0]?.kind === "axis";
}

/** Names for what the model does not name. */
function defaultName(kind: CheckedOp["kind"]): string {
  switch (kind) {
    case "rms-norm":
      return "normed";
    case "embed":
      return "embedded";
    case "repeat":
      return "repeated";
    case "attention":
      return "mixed";
    case "split":
      return "heads";
    case "merge":
      return "merged";
    case "rope":
      return "rotated";
    case "scale":
      return "scaled";
    case "linear":
      return "projected";
    case "unary":
      return "activated";
    case "binary":
      return "combined";
    default:
      return kind;
  }
}
