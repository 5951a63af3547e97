/**
 * Elementwise expressions as kernels see them: the graph's `ElementExpr` with binding names for value ids, so that equal
 * expressions of different layers give one kernel.
 */
import { unreachable } from "../../diagnostics/diagnostic.js";
import type { BinaryFunction, UnaryFunction } from "../../ir/graph/ops.js";
import { exp, f32, type KernelBuilder, type Memory, max, min, tanh, type Value } from "../../ir/kernel/builder.js";

export type ElementExpression =
  | { readonly kind: "accumulator"; readonly index: number }
  | { readonly kind: "operand"; readonly name: string }
  | { readonly kind: "unary"; readonly function: UnaryFunction; readonly input: ElementExpression }
  | {
      readonly kind: "binary";
      readonly function: BinaryFunction;
      readonly left: ElementExpression;
      readonly right: ElementExpression;
    }
  | { readonly kind: "scale"; readonly input: ElementExpression; readonly factor: number; readonly offset: number };

/** Something an expression reads beside the accumulators. */
export interface Operand {
  /** Its binding; `output` reads the element that is about to be overwritten. */
  readonly name: string;
  /** `element`: same row and column of [rows, width]. `column`: entry of a vector [width]. */
  readonly of: "element" | "column";
  /** Entries of a vector that is shorter than the row, and repeats. */
  readonly period?: number;
}

/** Declares the buffers of the operands, in order; `output` has one already. */
export function bindOperands(k: KernelBuilder, operands: readonly Operand[], output: Memory): Map<string, Memory> {
  return new Map(
    operands.map(({ name, of }) => {
      const own = name === output.name;
      return [name, own ? output : k.read(name, "f32", of === "column" ? "weight" : "activation")];
    }),
  );
}

/** Reads an operand at an element of the output. */
export type ReadOperand = (name: string) => Value;

export function operandReader(
  operands: readonly Operand[],
  buffers: ReadonlyMap<string, Memory>,
  element: Value,
  column: Value,
): ReadOperand {
  const byName = new Map(operands.map((operand) => [operand.name, operand]));
  return (name) => {
    const { of, period } = byName.get(name)!;
    const index = of === "element" ? element : period === undefined ? column : column.rem(period);
    return buffers.get(name)!.at(index);
  };
}

/** Names the result of every function on the way, so that no operand is computed twice. */
export function emitElement(
  k: KernelBuilder,
  expression: ElementExpression,
  accumulators: readonly Value[],
  read: ReadOperand,
): Value {
  const emit = (inner: ElementExpression) => emitElement(k, inner, accumulators, read);
  switch (expression.kind) {
    case "accumulator":
      return accumulators[expression.index]!;
    case "operand":
      return read(expression.name);
    case "unary":
      return applyUnary(expression.function, k.let("operand", emit(expression.input)));
    case "binary":
      return applyBinary(expression.function, emit(expression.left), emit(expression.right));
    case "scale": {
      const scaled = expression.factor === 1 ? emit(expression.input) : emit(expression.input).mul(expression.factor);
      return expression.offset === 0 ? scaled : scaled.add(expression.offset);
    }
    default:
      return unreachable(expression);
  }
}

function applyBinary(name: BinaryFunction, left: Value, right: Value): Value {
  switch (name) {
    case "add":
      return left.add(right);
    case "subtract":
      return left.sub(right);
    case "multiply":
      return left.mul(right);
    default:
      return unreachable(name);
  }
}

function applyUnary(name: UnaryFunction, x: Value): Value {
  switch (name) {
    case "silu":
      return x.div(exp(min(x.neg(), 80)).add(1));
    case "sigmoid":
      return sigmoid(x);
    case "gelu-tanh": {
      const inner = x.add(x.mul(x).mul(x).mul(0.044715)).mul(Math.sqrt(2 / Math.PI));
      return x.mul(0.5).mul(boundedTanh(inner).add(1));
    }
    case "tanh":
      return boundedTanh(x);
    case "relu":
      return max(x, 0);
    case "negate":
      return x.neg();
    default:
      return unreachable(name);
  }
}

/** The exponent is bounded: devices may assume that no infinity occurs, and e^80 is far beyond what changes the result. */
function sigmoid(x: Value): Value {
  return f32(1).div(exp(min(x.neg(), 80)).add(1));
}

/** Some devices compute tanh from exponentials and overflow; beyond 10 it is 1 in f32. */
function boundedTanh(x: Value): Value {
  return tanh(max(min(x, 10), -10));
}
