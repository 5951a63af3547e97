/** Elementwise arithmetic: two tensors of one shape, a tensor and a vector over its last dimension, a tensor and a number. */
import { shapeDiagnostics } from "../../diagnostics/catalogue-shapes.js";
import { label } from "../../diagnostics/define.js";
import { InternalError } from "../../diagnostics/diagnostic.js";
import type { Span } from "../../source/source-file.js";
import type { Binary, Unary } from "../ast/nodes.js";
import { reportOperands } from "./arithmetic.js";
import type { BodyBuilder } from "./body-builder.js";
import type { BinaryOp, CheckedOp } from "./checked-model.js";
import { type Context, callLabels } from "./context.js";
import { compareTypes, reportMismatch } from "./shapes.js";
import { failed, numberOf, type Value } from "./values.js";

export function bodyOf(context: Context): BodyBuilder {
  if (context.body === undefined) throw new InternalError("a tensor outside of `forward`");
  return context.body;
}

/** Adds an operation and wraps it as a value. */
export function tensorValue(op: CheckedOp, context: Context): Value {
  return { kind: "tensor", op: bodyOf(context).add(op) };
}

const functions: Readonly<Partial<Record<string, BinaryOp["function"]>>> = {
  "+": "add",
  "-": "subtract",
  "*": "multiply",
};

/** `+ - * /` of which at least one side is a tensor. */
export function tensorArithmetic(node: Binary, left: Value, right: Value, context: Context): Value {
  if (left.kind === "tensor" && right.kind === "tensor") {
    const name = functions[node.operator];
    const hint = node.operator === "/" ? "Tensors are added, subtracted and multiplied." : undefined;
    return name === undefined || left.op.type.element === "int" || right.op.type.element === "int"
      ? reportOperands(node, left, right, context, hint)
      : combine(node, name, { op: left.op, span: node.left.span }, { op: right.op, span: node.right.span }, context);
  }
  const [tensor, scalar] = left.kind === "tensor" ? [left, right] : [right, left];
  const number = numberOf(scalar);
  if (scalar.kind === "layer-int") {
    const what = "The factor of a tensor";
    context.state.report(shapeDiagnostics.dependsOnLayer({ what }, label(node.span), ...callLabels(context)));
    return failed;
  }
  const affine =
    number === undefined || tensor.kind !== "tensor" || tensor.op.type.element === "int"
      ? undefined
      : toAffine(node.operator, number, left.kind === "tensor");
  if (affine === undefined || tensor.kind !== "tensor") return reportOperands(node, left, right, context);
  const { type } = tensor.op;
  return tensorValue({ kind: "scale", input: tensor.op, ...affine, type, span: node.span }, context);
}

/** `x * c`, `c - x` and the like as x * factor + offset. */
function toAffine(operator: string, number: number, tensorFirst: boolean) {
  switch (operator) {
    case "+":
      return { factor: 1, offset: number };
    case "-":
      return tensorFirst ? { factor: 1, offset: -number } : { factor: -1, offset: number };
    case "*":
      return { factor: number, offset: 0 };
    case "/":
      return tensorFirst && number !== 0 ? { factor: 1 / number, offset: 0 } : undefined;
    default:
      return undefined;
  }
}

interface Operand {
  readonly op: CheckedOp;
  readonly span: Span;
}

function combine(node: Binary, name: BinaryOp["function"], left: Operand, right: Operand, context: Context): Value {
  // A vector may stand on either side of `+` and `*`; the IR wants it on the right.
  if (name !== "subtract" && isVectorFor(left.op, right.op)) return combineVector(node, name, right, left, context);
  if (isVectorFor(right.op, left.op)) return combineVector(node, name, left, right, context);
  const mismatch = compareTypes(left.op.type, right.op.type, context.state.equations);
  if (mismatch !== undefined) {
    reportMismatch(`\`${node.operator}\` needs tensors of one shape`, mismatch, context, {
      expected: { type: left.op.type, span: left.span },
      found: { type: right.op.type, span: right.span },
    });
    return failed;
  }
  const { op } = left;
  return tensorValue(
    { kind: "binary", function: name, left: op, right: right.op, type: op.type, span: node.span },
    context,
  );
}

function isVectorFor(vector: CheckedOp, tensor: CheckedOp): boolean {
  return vector.type.dims.length === 1 && tensor.type.dims.length > 1 && vector.type.dims[0]!.kind === "size";
}

function combineVector(
  node: Binary,
  name: BinaryOp["function"],
  tensor: Operand,
  vector: Operand,
  context: Context,
): Value {
  const expected = { element: "float" as const, dims: [tensor.op.type.dims.at(-1)!] };
  const mismatch = compareTypes(expected, vector.op.type, context.state.equations);
  if (mismatch !== undefined) {
    reportMismatch(`\`${node.operator}\` needs a vector as long as the last dimension`, mismatch, context, {
      expected: { type: tensor.op.type, span: tensor.span },
      found: { type: vector.op.type, span: vector.span },
      wanted: expected,
    });
    return failed;
  }
  const { op } = tensor;
  return tensorValue(
    { kind: "binary", function: name, left: op, right: vector.op, type: op.type, span: node.span },
    context,
  );
}

export function tensorNegation(node: Unary, op: CheckedOp, context: Context): Value {
  return tensorValue({ kind: "unary", function: "negate", input: op, type: op.type, span: node.span }, context);
}
