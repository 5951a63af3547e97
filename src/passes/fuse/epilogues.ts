/** Elementwise expressions behind products and norms: their leaves, their size, and which of them change nothing. */
import { unreachable } from "../../diagnostics/diagnostic.js";
import type { ElementExpr, FusedLinear, NormOp, ValueId } from "../../ir/graph/ops.js";

/** Operations that one epilogue may hold; chains are cut there, so that repeated operands cannot make them grow without bound. */
export const largestEpilogue = 64;

/** Leaves and operations of an expression. */
export function sizeOf(expr: ElementExpr): number {
  switch (expr.kind) {
    case "accumulator":
    case "operand":
      return 1;
    case "unary":
    case "scale":
      return 1 + sizeOf(expr.input);
    case "binary":
      return 1 + sizeOf(expr.left) + sizeOf(expr.right);
    default:
      return unreachable(expr);
  }
}

export const accumulator = (index: number): ElementExpr => ({ kind: "accumulator", index });
export const operand = (value: ValueId): ElementExpr => ({ kind: "operand", value });

/** Whether the epilogue passes the result on as it is. */
export function hasPlainEpilogue(op: FusedLinear | NormOp): boolean {
  return op.epilogue.kind === "accumulator" && op.epilogue.index === 0;
}

/** A product with one matrix and nothing around it. */
export function isPlainProduct(op: FusedLinear): boolean {
  return op.weights.length === 1 && op.norm === undefined && hasPlainEpilogue(op);
}
