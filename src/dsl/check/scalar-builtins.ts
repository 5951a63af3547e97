/** Functions of numbers that are known when the model is compiled. */
import { shapeDiagnostics } from "../../diagnostics/catalogue-shapes.js";
import { label } from "../../diagnostics/define.js";
import { excerpt } from "../../source/source-file.js";
import type { Call } from "../ast/nodes.js";
import { reportTooLarge } from "./arithmetic.js";
import type { ScalarBuiltin } from "./builtin-names.js";
import type { Args } from "./builtins.js";
import { type Context, callLabels } from "./context.js";
import { describeValue, failed, intValue, numberOf, type Value } from "./values.js";

export function applyScalarBuiltin(node: Call, name: ScalarBuiltin, args: Args, context: Context): Value {
  const given = [...args.values()];
  const numbers: number[] = [];
  for (const arg of given) {
    const number = numberOf(arg.value);
    if (number === undefined && arg.value.kind === "term") {
      const report = { name, text: excerpt(node.span), argument: excerpt(arg.node.span) };
      const labels = [label(node.span), label(arg.node.span, "depends on tokens"), ...callLabels(context)];
      context.state.report(shapeDiagnostics.functionOfToken(report, ...labels));
      return failed;
    }
    if (number === undefined) {
      const report = { expected: "a number", found: describeValue(arg.value) };
      context.state.report(shapeDiagnostics.wrongType(report, label(arg.node.span), ...callLabels(context)));
      return failed;
    }
    numbers.push(number);
  }
  const value = compute(name, numbers);
  if (!Number.isFinite(value)) return reportTooLarge(node.span, context, `${name}(${numbers.join(", ")})`);
  const staysInteger = name === "floor" || name === "ceil" || given.every((arg) => arg.value.kind === "int");
  const isInteger =
    ["floor", "ceil", "min", "max", "abs"].includes(name) && staysInteger && Number.isSafeInteger(value);
  return isInteger ? intValue(value) : { kind: "real", value };
}

function compute(name: ScalarBuiltin, numbers: readonly number[]): number {
  const [first, second] = numbers as [number, number];
  return name === "min" || name === "max" ? Math[name](first, second) : Math[name](first);
}
