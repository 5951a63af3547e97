/** Calls of builtins: their parameters, and which of the two kinds they are. */
import { shapeDiagnostics } from "../../diagnostics/catalogue-shapes.js";
import { label } from "../../diagnostics/define.js";
import type { Call, Expression } from "../ast/nodes.js";
import { type ScalarBuiltin, scalarBuiltins, type TensorBuiltin } from "./builtin-names.js";
import { matchArguments, type ParameterName } from "./calls.js";
import { type Context, callLabels } from "./context.js";
import { evaluate } from "./evaluate.js";
import { applyScalarBuiltin } from "./scalar-builtins.js";
import { applyTensorBuiltin } from "./tensor-builtins.js";
import { failed, type Value } from "./values.js";

const required = (...names: readonly string[]): ParameterName[] => names.map((name) => ({ name, optional: false }));
const optional = (...names: readonly string[]): ParameterName[] => names.map((name) => ({ name, optional: true }));

const parameters: Readonly<Record<TensorBuiltin | ScalarBuiltin, readonly ParameterName[]>> = {
  embed: required("ids", "table"),
  repeat: required("x"),
  linear: [...required("x", "weight"), ...optional("bias")],
  rms_norm: [...required("x"), ...optional("weight", "eps")],
  rope: required("x"),
  split: required("x", "heads"),
  merge: required("x"),
  attention: [...required("q", "k", "v"), ...optional("scale")],
  silu: required("x"),
  gelu: required("x"),
  relu: required("x"),
  sigmoid: required("x"),
  tanh: required("x"),
  sqrt: required("x"),
  exp: required("x"),
  log: required("x"),
  sin: required("x"),
  cos: required("x"),
  abs: required("x"),
  floor: required("x"),
  ceil: required("x"),
  min: required("a", "b"),
  max: required("a", "b"),
};

/** An argument with its value. */
export interface Arg {
  readonly node: Expression;
  readonly value: Value;
}

/** The arguments of a builtin by name; optional ones may be absent. */
export type Args = ReadonlyMap<string, Arg>;

export function callBuiltin(node: Call, context: Context): Value {
  const name = node.callee.text as TensorBuiltin | ScalarBuiltin;
  const matched = matchArguments(node, parameters[name], context);
  if (matched === undefined) return failed;
  const args = new Map<string, Arg>();
  for (const [param, argument] of matched) args.set(param, { node: argument, value: evaluate(argument, context) });
  if ([...args.values()].some((arg) => arg.value.kind === "failed")) return failed;
  if ((scalarBuiltins as readonly string[]).includes(name)) {
    return applyScalarBuiltin(node, name as ScalarBuiltin, args, context);
  }
  if (context.body === undefined) {
    const report = { expected: "a number", found: "a tensor" };
    context.state.report(shapeDiagnostics.wrongType(report, label(node.span), ...callLabels(context)));
    return failed;
  }
  return applyTensorBuiltin(node, name as TensorBuiltin, args, context);
}
