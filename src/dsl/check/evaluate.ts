/**
 * The value of an expression: the heart of the checker.
 *
 * One function serves tensors, numbers and predicates; what the operands turn out to be decides what an operator means. Whatever is
 * wrong is reported where it is found and becomes `failed`, which silences everything that uses it.
 */
import { nameDiagnostics } from "../../diagnostics/catalogue-names.js";
import { shapeDiagnostics } from "../../diagnostics/catalogue-shapes.js";
import { label } from "../../diagnostics/define.js";
import { unreachable } from "../../diagnostics/diagnostic.js";
import { nearestName } from "../../diagnostics/suggest.js";
import { compareNumbers } from "../../ir/relation/predicate.js";
import { excerpt } from "../../source/source-file.js";
import type { Binary, Conditional, Expression, Member, NameReference, Unary } from "../ast/nodes.js";
import { integerArithmetic, isComparison, layerOperation, realArithmetic, reportOperands } from "./arithmetic.js";
import { evaluateCall } from "./calls.js";
import { type Context, callLabels } from "./context.js";
import { tensorArithmetic, tensorNegation } from "./elementwise.js";
import { addSizes, constantSize } from "./size.js";
import {
  coordinateValue,
  joinPredicates,
  negatePredicate,
  scaleTerm,
  termArithmetic,
  termComparison,
  toPredicate,
} from "./terms.js";
import { describeKind, describeValue, failed, intValue, numberOf, type Value } from "./values.js";
import { evaluateWeight } from "./weights.js";

export function evaluate(expression: Expression, context: Context): Value {
  return context.state.step(expression, () => evaluateNode(expression, context));
}

function evaluateNode(expression: Expression, context: Context): Value {
  switch (expression.kind) {
    case "integer":
      return intValue(expression.value);
    case "real":
      return { kind: "real", value: expression.value };
    case "string":
      return { kind: "string", value: expression.value };
    case "boolean":
      return { kind: "bool", value: expression.value };
    case "name":
      return evaluateName(expression, context);
    case "member":
      return evaluateMember(expression, context);
    case "call":
      return evaluateCall(expression, context);
    case "weight":
      return evaluateWeight(expression, context);
    case "unary":
      return evaluateUnary(expression, context);
    case "binary":
      return expression.operator === "and" || expression.operator === "or"
        ? evaluateLogic(expression, expression.operator, context)
        : evaluateBinary(expression, context);
    case "conditional":
      return evaluateConditional(expression, context);
    default:
      return unreachable(expression);
  }
}

function evaluateName(node: NameReference, context: Context): Value {
  const binding = context.scope.find(node.text);
  if (binding !== undefined) return binding.value;
  const name = { text: node.text, span: node.span };
  if (context.definitions.find(name, context.state) !== undefined) {
    context.state.report(nameDiagnostics.notCallable({ name: node.text, isFunction: true }, label(node.span)));
    return failed;
  }
  const nearest = nearestName(node.text, context.scope.names());
  context.state.report(nameDiagnostics.unknownName({ name: node.text, nearest }, label(node.span)));
  return failed;
}

function evaluateMember(node: Member, context: Context): Value {
  const { object, member } = node;
  const binding = context.scope.find(object.text);
  if (binding === undefined) {
    return evaluateName({ kind: "name", text: object.text, span: object.span }, context);
  }
  const { value } = binding;
  if (value.kind === "failed") return failed;
  if (value.kind !== "token") {
    const report = { name: object.text, kind: describeKind(value.kind) };
    context.state.report(nameDiagnostics.noMembers(report, label(object.span), ...callLabels(context)));
    return failed;
  }
  if (member.text === "pos" || member.text === "copy") return coordinateValue(value, member.text, node.span);
  const nearest = nearestName(member.text, ["pos", "copy"]);
  context.state.report(nameDiagnostics.unknownMember({ member: member.text, nearest }, label(member.span)));
  return failed;
}

function evaluateUnary(node: Unary, context: Context): Value {
  const operand = evaluate(node.operand, context);
  if (node.operator === "not") {
    switch (operand.kind) {
      case "bool":
        return { kind: "bool", value: !operand.value };
      case "layer-bool":
        return { kind: "layer-bool", values: operand.values.map((value) => !value) };
      case "predicate":
        return { kind: "predicate", predicate: negatePredicate(operand.predicate, node.span) };
    }
  } else {
    switch (operand.kind) {
      case "int":
        return { kind: "int", size: addSizes(constantSize(0), operand.size, -1) };
      case "real":
        return { kind: "real", value: -operand.value };
      case "layer-int":
        return { kind: "layer-int", values: operand.values.map((value) => -value), isIndex: false };
      case "term":
        return { kind: "term", term: scaleTerm(-1, operand.term, node.span) };
      case "tensor":
        return tensorNegation(node, operand.op, context);
    }
  }
  if (operand.kind === "failed") return failed;
  const report = { operator: node.operator, left: describeValue(operand) };
  context.state.report(shapeDiagnostics.wrongOperand(report, label(node.span), ...callLabels(context)));
  return failed;
}

function evaluateLogic(node: Binary, operator: "and" | "or", context: Context): Value {
  const left = evaluate(node.left, context);
  const right = evaluate(node.right, context);
  if (left.kind === "failed" || right.kind === "failed") return failed;
  if (left.kind === "bool" && right.kind === "bool") {
    return { kind: "bool", value: operator === "and" ? left.value && right.value : left.value || right.value };
  }
  const [leftLayers, rightLayers] = [toLayerBools(left, context), toLayerBools(right, context)];
  if (leftLayers !== undefined && rightLayers !== undefined) {
    const join = (a: boolean, b: boolean) => (operator === "and" ? a && b : a || b);
    return { kind: "layer-bool", values: leftLayers.map((value, layer) => join(value, rightLayers[layer]!)) };
  }
  const [leftPredicate, rightPredicate] = [toPredicate(left, node.left.span), toPredicate(right, node.right.span)];
  if (leftPredicate !== undefined && rightPredicate !== undefined) {
    return { kind: "predicate", predicate: joinPredicates(operator, leftPredicate, rightPredicate, node.span) };
  }
  if (left.kind === "layer-bool" || right.kind === "layer-bool") {
    const place = left.kind === "layer-bool" ? node.left.span : node.right.span;
    context.state.report(shapeDiagnostics.dependsOnLayer({ what: "Who attends to whom" }, label(place)));
    return failed;
  }
  return reportOperands(node, left, right, context);
}

function toLayerBools(value: Value, context: Context): readonly boolean[] | undefined {
  if (value.kind === "layer-bool") return value.values;
  return value.kind === "bool" && context.layer !== undefined
    ? new Array(context.layer.count).fill(value.value)
    : undefined;
}

function toLayerInts(value: Value, context: Context): readonly number[] | undefined {
  if (value.kind === "layer-int") return value.values;
  return value.kind === "int" && context.layer !== undefined
    ? new Array(context.layer.count).fill(value.size.value)
    : undefined;
}

function evaluateBinary(node: Binary, context: Context): Value {
  const left = evaluate(node.left, context);
  const right = evaluate(node.right, context);
  if (left.kind === "failed" || right.kind === "failed") return failed;
  const comparison = isComparison(node.operator);

  if (left.kind === "tensor" || right.kind === "tensor") {
    return comparison ? reportOperands(node, left, right, context) : tensorArithmetic(node, left, right, context);
  }
  if (left.kind === "token" || right.kind === "token") {
    const hint = "Compare their coordinates: `q.pos == k.pos`, or use `index stream` of std.phd.";
    return reportOperands(node, left, right, context, hint);
  }
  if (left.kind === "term" || right.kind === "term") {
    return comparison ? termComparison(node, left, right, context) : termArithmetic(node, left, right, context);
  }
  if (left.kind === "layer-int" || right.kind === "layer-int") {
    const [leftValues, rightValues] = [toLayerInts(left, context), toLayerInts(right, context)];
    const known =
      leftValues !== undefined && rightValues !== undefined && node.operator !== "/" && node.operator !== "^";
    return known ? layerOperation(node, leftValues, rightValues, context) : reportOperands(node, left, right, context);
  }
  const [leftNumber, rightNumber] = [numberOf(left), numberOf(right)];
  if (leftNumber !== undefined && rightNumber !== undefined) {
    if (comparison) return { kind: "bool", value: compareNumbers(node.operator, leftNumber, rightNumber) };
    if (left.kind === "int" && right.kind === "int" && node.operator !== "/" && node.operator !== "^") {
      return integerArithmetic(node, left.size, right.size, context);
    }
    if (node.operator === "div" || node.operator === "mod") return reportOperands(node, left, right, context);
    return realArithmetic(node, leftNumber, rightNumber, context);
  }
  if (
    (node.operator === "==" || node.operator === "!=") &&
    ((left.kind === "string" && right.kind === "string") || (left.kind === "bool" && right.kind === "bool"))
  ) {
    return { kind: "bool", value: (left.value === right.value) === (node.operator === "==") };
  }
  return reportOperands(node, left, right, context);
}

function evaluateConditional(node: Conditional, context: Context): Value {
  const taken = decide(node.condition, context);
  if (taken === undefined) return failed;
  return evaluate(taken ? node.whenTrue : node.whenFalse, context);
}

/**
 * Decides an `if`, statement or expression; undefined where its condition is wrong, which has been reported.
 *
 * A condition on the layer is decided for the layer that stands for its class, and remembered: the class is all layers that decide
 * alike.
 */
export function decide(condition: Expression, context: Context): boolean | undefined {
  const value = evaluate(condition, context);
  switch (value.kind) {
    case "bool":
      return value.value;
    case "layer-bool": {
      const { layer } = context;
      if (layer === undefined) return undefined;
      layer.decisions.push({ values: value.values, text: excerpt(condition.span) });
      return value.values[layer.representative];
    }
    case "failed":
      return undefined;
    default: {
      const report = { found: describeValue(value) };
      const labels = [label(condition.span), ...callLabels(context)];
      context.state.report(shapeDiagnostics.unsuitableCondition(report, ...labels));
      return undefined;
    }
  }
}
