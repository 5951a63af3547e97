/** Calls: arguments are matched to parameters, then a builtin is applied or a definition expanded. */
import { nameDiagnostics } from "../../diagnostics/catalogue-names.js";
import { shapeDiagnostics } from "../../diagnostics/catalogue-shapes.js";
import { label } from "../../diagnostics/define.js";
import type { Label } from "../../diagnostics/diagnostic.js";
import { nearestName } from "../../diagnostics/suggest.js";
import type { Span } from "../../source/source-file.js";
import type { Call, Expression, FunctionDefinition, RelationDefinition } from "../ast/nodes.js";
import { builtinNames } from "./builtin-names.js";
import { callBuiltin } from "./builtins.js";
import { type Context, callLabels } from "./context.js";
import { evaluate } from "./evaluate.js";
import { evaluateFunctionBody } from "./functions.js";
import { bindParameters } from "./parameter-types.js";
import { Scope } from "./scope.js";
import { toTerm } from "./terms.js";
import { describeValue, failed, type Value } from "./values.js";

export function evaluateCall(node: Call, context: Context): Value {
  const { callee } = node;
  if (builtinNames.has(callee.text)) return callBuiltin(node, context);
  const found = context.definitions.find(callee, context.state);
  if (found === undefined) return reportUnknown(node, context);
  const calls = [...context.calls, { definition: found.definition, span: node.span }];
  if (context.calls.some((call) => call.definition === found.definition)) {
    const through = context.calls.slice(context.calls.findIndex((call) => call.definition === found.definition) + 1);
    const path = through.map((call) => `\`${call.definition.name.text}\``).join(", ");
    const report = { name: callee.text, path: path === "" ? "" : `, through ${path}` };
    context.state.report(nameDiagnostics.recursion(report, label(node.span)));
    return failed;
  }
  const inner = { ...context, calls, definitions: found.definitions, scope: new Scope(found.scope) };
  return found.definition.kind === "fn"
    ? callFunction(node, found.definition, context, inner)
    : callRelation(node, found.definition, context, inner);
}

function callRelation(node: Call, definition: RelationDefinition, context: Context, inner: Context): Value {
  const params = definition.params.map((name) => ({ name: name.text, optional: false }));
  const args = matchArguments(node, params, context);
  if (args === undefined) return failed;
  let sound = true;
  for (const name of definition.params) {
    const argument = args.get(name.text)!;
    const value = evaluate(argument, context);
    if (value.kind === "failed") sound = false;
    inner.scope.declare(name.text, { value, mutable: false, span: name.span });
  }
  if (!sound) return failed;
  const value = evaluate(definition.body, inner);
  const suits =
    definition.kind === "index" ? toTerm(value) !== undefined : value.kind === "predicate" || value.kind === "bool";
  if (suits || value.kind === "failed") return value;
  const expected = definition.kind === "index" ? "an integer, as `index` says" : "a condition, as `rule` says";
  const labels = [label(definition.body.span), ...callLabels(inner)];
  context.state.report(shapeDiagnostics.wrongType({ expected, found: describeValue(value) }, ...labels));
  return failed;
}

function callFunction(node: Call, definition: FunctionDefinition, context: Context, inner: Context): Value {
  const params = definition.params.map((param) => ({
    name: param.name.text,
    optional: param.defaultValue !== undefined,
  }));
  const args = matchArguments(node, params, context);
  if (args === undefined) return failed;
  const values = new Map<string, { value: Value; span: Span }>();
  for (const param of definition.params) {
    const argument = args.get(param.name.text);
    // A default is read where it stands, among the definitions of the function's own file.
    const value = argument === undefined ? evaluate(param.defaultValue!, inner) : evaluate(argument, context);
    if (value.kind === "failed") return failed;
    values.set(param.name.text, { value, span: argument?.span ?? param.span });
  }
  return bindParameters(definition, values, inner) ? evaluateFunctionBody(definition, inner) : failed;
}

export interface ParameterName {
  readonly name: string;
  readonly optional: boolean;
}

/** Matches arguments to parameters, in order and then by name; undefined where they do not match, which has been reported. */
export function matchArguments(
  node: Call,
  params: readonly ParameterName[],
  context: Context,
): ReadonlyMap<string, Expression> | undefined {
  const callee = node.callee.text;
  const takes = params.length === 0 ? "nothing" : params.map((param) => `\`${param.name}\``).join(", ");
  const report = (diagnostic: Parameters<typeof context.state.report>[0]) => {
    context.state.report(diagnostic);
    return undefined;
  };
  const labels = (span: Span): Label[] => [label(span), ...callLabels(context)];
  const matched = new Map<string, Expression>();
  for (const [index, argument] of node.args.entries()) {
    const { name } = argument;
    const param = name === undefined ? params[index] : params.find((each) => each.name === name.text);
    if (param === undefined && name === undefined) {
      const data = { callee, count: node.args.length, params: takes };
      return report(nameDiagnostics.tooManyArguments(data, ...labels(argument.span)));
    }
    if (param === undefined) {
      const nearest = nearestName(
        name!.text,
        params.map((each) => each.name),
      );
      const data = { callee, name: name!.text, nearest, params: takes };
      return report(nameDiagnostics.unknownArgument(data, ...labels(name!.span)));
    }
    if (matched.has(param.name)) {
      return report(nameDiagnostics.argumentTwice({ callee, name: param.name }, ...labels(argument.span)));
    }
    matched.set(param.name, argument.value);
  }
  const missing = params.find((param) => !param.optional && !matched.has(param.name));
  if (missing !== undefined) {
    const data = { callee, name: missing.name, params: takes };
    return report(nameDiagnostics.missingArgument(data, ...labels(node.span)));
  }
  return matched;
}

function reportUnknown(node: Call, context: Context): Value {
  const { callee } = node;
  const { state } = context;
  if (context.scope.find(callee.text) !== undefined) {
    state.report(nameDiagnostics.notCallable({ name: callee.text, isFunction: false }, label(callee.span)));
    return failed;
  }
  const nearest = nearestName(callee.text, [...builtinNames, ...context.definitions.names()]);
  const library = context.definitions.libraryThatDefines(callee.text);
  state.report(nameDiagnostics.unknownFunction({ name: callee.text, nearest, library }, label(callee.span)));
  return failed;
}
