/** Operators on numbers, strings and truth values that are known when the model is compiled. */
import { paramDiagnostics } from "../../diagnostics/catalogue-params.js";
import { shapeDiagnostics } from "../../diagnostics/catalogue-shapes.js";
import { label } from "../../diagnostics/define.js";
import { compareNumbers } from "../../ir/relation/predicate.js";
import { excerpt, type Span } from "../../source/source-file.js";
import type { Binary, BinaryOperator, ComparisonOperator } from "../ast/nodes.js";
import { type Context, callLabels } from "./context.js";
import { addSizes, multiplySizes, opaqueSize, type Size } from "./size.js";
import { describeValue, failed, type Value } from "./values.js";

export function isComparison(operator: BinaryOperator): operator is ComparisonOperator {
  return ["==", "!=", "<", "<=", ">", ">="].includes(operator);
}

/** Floor division and its non-negative remainder, and the plain operators. The divisor is known to be positive. */
function integerOperation(operator: BinaryOperator, left: number, right: number): number {
  switch (operator) {
    case "+":
      return left + right;
    case "-":
      return left - right;
    case "*":
      return left * right;
    case "div":
      return Math.floor(left / right);
    default:
      return left - right * Math.floor(left / right);
  }
}

/** `+ - * div mod` on two integers. */
export function integerArithmetic(node: Binary, left: Size, right: Size, context: Context): Value {
  const { operator } = node;
  if ((operator === "div" || operator === "mod") && right.value <= 0) {
    return reportDivision(node, right.value, context);
  }
  const value = integerOperation(operator, left.value, right.value);
  if (!Number.isSafeInteger(value)) return reportTooLarge(node.span, context);
  switch (operator) {
    case "+":
      return { kind: "int", size: addSizes(left, right) };
    case "-":
      return { kind: "int", size: addSizes(left, right, -1) };
    case "*":
      return { kind: "int", size: multiplySizes(left, right) };
    case "div":
    case "mod":
      return { kind: "int", size: opaqueSize(operator, left, right, value) };
    default:
      return failed;
  }
}

/** `+ - * / ^` on two numbers of which the result is real. */
export function realArithmetic(node: Binary, left: number, right: number, context: Context): Value {
  if (node.operator === "/" && right === 0) return reportDivision(node, 0, context);
  const value =
    node.operator === "/"
      ? left / right
      : node.operator === "^"
        ? left ** right
        : integerOperation(node.operator, left, right);
  if (Number.isFinite(value)) return { kind: "real", value };
  return reportTooLarge(node.span, context, `${left} ${node.operator} ${right < 0 ? `(${right})` : right}`);
}

/** `+ - * div mod` and comparisons on integers of which at least one depends on the layer. */
export function layerOperation(
  node: Binary,
  left: readonly number[],
  right: readonly number[],
  context: Context,
): Value {
  const { operator } = node;
  if (isComparison(operator)) {
    return { kind: "layer-bool", values: left.map((value, layer) => compareNumbers(operator, value, right[layer]!)) };
  }
  const smallest = Math.min(...right);
  if ((operator === "div" || operator === "mod") && smallest <= 0) return reportDivision(node, smallest, context);
  const values = left.map((value, layer) => integerOperation(operator, value, right[layer]!));
  return values.every(Number.isSafeInteger)
    ? { kind: "layer-int", values, isIndex: false }
    : reportTooLarge(node.span, context);
}

/** `values` is the operation with its numbers, where they are not those that are written. */
export function reportTooLarge(span: Span, context: Context, values?: string): Value {
  const report = { text: excerpt(span), ...(values === undefined ? {} : { values }) };
  context.state.report(paramDiagnostics.numberTooLarge(report, label(span), ...callLabels(context)));
  return failed;
}

/** Operands that the operator has no meaning for. */
export function reportOperands(node: Binary, left: Value, right: Value, context: Context, hint?: string): Value {
  const report = { operator: node.operator, left: describeValue(left), right: describeValue(right), hint };
  context.state.report(shapeDiagnostics.wrongOperand(report, label(node.operatorSpan), ...callLabels(context)));
  return failed;
}

/** Division by a `value` that is not positive. */
export function reportDivision(node: Binary, value: number, context: Context): Value {
  const report = { operator: node.operator, value };
  context.state.report(paramDiagnostics.divisionByZero(report, label(node.right.span), ...callLabels(context)));
  return failed;
}
