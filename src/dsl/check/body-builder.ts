/** Collects the operations of one body (the model's, or that of one class of layers). */
import type { CheckedBody, CheckedOp, LayersOp, WeightOp } from "./checked-model.js";

export class BodyBuilder {
  private readonly ops: (CheckedOp | LayersOp)[] = [];
  private readonly names = new Map<CheckedOp, string>();
  private readonly weights = new Map<string, WeightOp>();

  add<Op extends CheckedOp | LayersOp>(op: Op): Op {
    this.ops.push(op);
    return op;
  }

  /** The weight of this name that the body already has. */
  findWeight(tensor: string): WeightOp | undefined {
    return this.weights.get(tensor);
  }

  addWeight(op: WeightOp): WeightOp {
    this.weights.set(op.tensor, op);
    return this.add(op);
  }

  /** The first name counts: `let h = x` does not rename x. */
  name(op: CheckedOp, name: string): void {
    if (!this.names.has(op)) this.names.set(op, name);
  }

  finish(): CheckedBody {
    return { ops: this.ops, names: this.names };
  }
}
