/** Parameters: their defaults, what the user set, and the requirements on them. */
import { paramDiagnostics } from "../../diagnostics/catalogue-params.js";
import { shapeDiagnostics } from "../../diagnostics/catalogue-shapes.js";
import { label } from "../../diagnostics/define.js";
import { nearestName } from "../../diagnostics/suggest.js";
import { excerpt } from "../../source/source-file.js";
import type { Expression, ModelDeclaration, ParamDeclaration, Requirement } from "../ast/nodes.js";
import type { CheckedParam } from "./checked-model.js";
import type { Context } from "./context.js";
import { reportTwice } from "./definitions.js";
import { evaluate } from "./evaluate.js";
import { symbolSize } from "./size.js";
import { describeValue, failed, type Value } from "./values.js";

/** Values that override defaults, as text or as numbers: `{ K: "4", theta: 500000 }`. */
export type ParamOverrides = Readonly<Record<string, string | number | boolean>>;

type ParamType = "int" | "real" | "string" | "bool";

const typeNames: Readonly<Record<ParamType, string>> = {
  int: "an integer",
  real: "a real number",
  string: "a string",
  bool: "a truth value",
};

/** Declares the parameters in the scope of `context`, in the order of the text: a default may use the parameters before it. */
export function declareParams(
  model: ModelDeclaration,
  params: readonly ParamDeclaration[],
  overrides: ParamOverrides,
  context: Context,
): CheckedParam[] {
  reportUnknown(model, params, overrides, context);
  return params.flatMap((param) => {
    const { name } = param;
    const before = context.scope.own(name.text);
    if (before?.span !== undefined) reportTwice(name, { text: name.text, span: before.span }, context.state);
    const value = evaluateParam(param, overrides, context);
    context.scope.declare(name.text, { value, mutable: false, span: name.span });
    const plain = plainValue(value);
    return plain === undefined ? [] : [{ name: name.text, value: plain, span: name.span }];
  });
}

function reportUnknown(
  model: ModelDeclaration,
  params: readonly ParamDeclaration[],
  overrides: ParamOverrides,
  context: Context,
): void {
  const names = params.map((param) => param.name.text);
  for (const name of Object.keys(overrides)) {
    if (names.includes(name)) continue;
    const known = names.map((each) => `\`${each}\``).join(", ");
    const report = { name, model: model.name.text, nearest: nearestName(name, names), known };
    context.state.report(paramDiagnostics.unknownParam(report));
  }
}

function evaluateParam(param: ParamDeclaration, overrides: ParamOverrides, context: Context): Value {
  const name = param.name.text;
  const override = Object.hasOwn(overrides, name) ? overrides[name] : undefined;
  const defaultValue = param.defaultValue === undefined ? undefined : evaluate(param.defaultValue, context);
  if (override !== undefined) {
    const type = defaultValue === undefined ? "int" : paramType(defaultValue);
    if (type === undefined) return failed;
    const value = readOverride(type, String(override));
    if (value !== undefined) return asSymbol(name, value);
    const report = { name, expected: typeNames[type], value: String(override) };
    context.state.report(paramDiagnostics.wrongValue(report, label(param.name.span, "declared here")));
    return failed;
  }
  if (defaultValue === undefined) {
    context.state.report(paramDiagnostics.missingValue({ name }, label(param.name.span)));
    return failed;
  }
  if (defaultValue.kind === "failed") return failed;
  if (paramType(defaultValue) === undefined) {
    const report = { expected: "a number, a string or a truth value", found: describeValue(defaultValue) };
    context.state.report(shapeDiagnostics.wrongType(report, label(param.defaultValue!.span)));
    return failed;
  }
  return asSymbol(name, defaultValue);
}

function paramType(value: Value): ParamType | undefined {
  switch (value.kind) {
    case "int":
    case "real":
    case "string":
    case "bool":
      return value.kind;
    default:
      return undefined;
  }
}

/** An integer parameter is its own name in sizes. */
function asSymbol(name: string, value: Value): Value {
  return value.kind === "int" ? { kind: "int", size: symbolSize(name, value.size.value) } : value;
}

function readOverride(type: ParamType, text: string): Value | undefined {
  switch (type) {
    case "int": {
      const value = /^-?\d+$/.test(text) ? Number(text) : Number.NaN;
      return Number.isSafeInteger(value) ? { kind: "int", size: symbolSize("", value) } : undefined;
    }
    case "real": {
      const value = /^-?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(text) ? Number(text) : Number.NaN;
      return Number.isFinite(value) ? { kind: "real", value } : undefined;
    }
    case "string":
      return { kind: "string", value: text };
    case "bool":
      return text === "true" || text === "false" ? { kind: "bool", value: text === "true" } : undefined;
  }
}

function plainValue(value: Value): number | string | boolean | undefined {
  switch (value.kind) {
    case "int":
      return value.size.value;
    case "real":
    case "string":
    case "bool":
      return value.value;
    default:
      return undefined;
  }
}

/** Checks a `require`, and learns the equations it states. */
export function checkRequirement(requirement: Requirement, context: Context): void {
  const { condition } = requirement;
  const value = evaluate(condition, context);
  if (value.kind === "failed") return;
  if (value.kind !== "bool") {
    const report = { expected: "a condition on parameters", found: describeValue(value) };
    context.state.report(shapeDiagnostics.wrongType(report, label(condition.span)));
    return;
  }
  if (value.value) {
    learnEquations(condition, context);
    return;
  }
  const values = [...mentionedParams(condition, context)].map(([name, plain]) => `${name} = ${plain}`).join(", ");
  context.state.report(
    paramDiagnostics.requirementFails({ condition: excerpt(condition.span), values }, label(condition.span)),
  );
}

function learnEquations(condition: Expression, context: Context): void {
  if (condition.kind !== "binary") return;
  if (condition.operator === "and") {
    learnEquations(condition.left, context);
    learnEquations(condition.right, context);
  }
  if (condition.operator !== "==") return;
  const [left, right] = [evaluate(condition.left, context), evaluate(condition.right, context)];
  if (left.kind === "int" && right.kind === "int") context.state.equations.learn(left.size, right.size);
}

function mentionedParams(
  expression: Expression,
  context: Context,
  into = new Map<string, number | string | boolean>(),
): Map<string, number | string | boolean> {
  switch (expression.kind) {
    case "name": {
      const value = context.scope.find(expression.text)?.value;
      const plain = value === undefined ? undefined : plainValue(value);
      if (plain !== undefined) into.set(expression.text, plain);
      break;
    }
    case "unary":
      mentionedParams(expression.operand, context, into);
      break;
    case "binary":
      mentionedParams(expression.left, context, into);
      mentionedParams(expression.right, context, into);
      break;
    case "call":
      for (const argument of expression.args) mentionedParams(argument.value, context, into);
      break;
    case "conditional":
      mentionedParams(expression.condition, context, into);
      break;
  }
  return into;
}
