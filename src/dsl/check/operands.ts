/** What the builtins ask of their arguments. Each function reports what does not suit and then returns undefined or false. */
import { paramDiagnostics } from "../../diagnostics/catalogue-params.js";
import { shapeDiagnostics } from "../../diagnostics/catalogue-shapes.js";
import { label } from "../../diagnostics/define.js";
import type { Diagnostic, Label } from "../../diagnostics/diagnostic.js";
import type { Args } from "./builtins.js";
import type { CheckedOp, Dim } from "./checked-model.js";
import { type Context, callLabels } from "./context.js";
import { compareTypes, reportMismatch } from "./shapes.js";
import type { Size } from "./size.js";
import { describeValue, numberOf, printType } from "./values.js";
import { longestDimension } from "./weights.js";

/** Reports at an argument. */
export function reportAt(
  args: Args,
  name: string,
  context: Context,
  construct: (...labels: Label[]) => Diagnostic,
): void {
  context.state.report(construct(label(args.get(name)!.node.span), ...callLabels(context)));
}

export function tensorArgument(
  args: Args,
  name: string,
  context: Context,
  element: "float" | "int" = "float",
): CheckedOp | undefined {
  const { value } = args.get(name)!;
  if (value.kind === "tensor" && value.op.type.element === element) return value.op;
  const expected = element === "int" ? "the ids of tokens, `[positions] int`" : "a tensor of real numbers";
  reportAt(args, name, context, (...labels) =>
    shapeDiagnostics.wrongType({ expected, found: describeValue(value) }, ...labels),
  );
  return undefined;
}

/** An integer that does not depend on the layer, from 1 up. */
export function positiveInt(args: Args, name: string, context: Context): Size | undefined {
  const { value } = args.get(name)!;
  if (value.kind === "layer-int") {
    reportAt(args, name, context, (...labels) => shapeDiagnostics.dependsOnLayer({ what: `\`${name}\`` }, ...labels));
    return undefined;
  }
  if (value.kind !== "int") {
    reportAt(args, name, context, (...labels) =>
      shapeDiagnostics.wrongType({ expected: "an integer", found: describeValue(value) }, ...labels),
    );
    return undefined;
  }
  if (value.size.value >= 1 && value.size.value <= longestDimension) return value.size;
  const report = { what: `\`${name}\``, value: value.size.value, least: 1, most: longestDimension };
  reportAt(args, name, context, (...labels) => paramDiagnostics.outOfRange(report, ...labels));
  return undefined;
}

export function realArgument(args: Args, name: string, context: Context): number | undefined {
  const { value } = args.get(name)!;
  const number = numberOf(value);
  if (number !== undefined) return number;
  reportAt(args, name, context, (...labels) =>
    shapeDiagnostics.wrongType({ expected: "a real number", found: describeValue(value) }, ...labels),
  );
  return undefined;
}

export function requireRank(args: Args, name: string, rank: number, expected: string, context: Context): boolean {
  const { value } = args.get(name)!;
  if (value.kind !== "tensor") return false;
  if (value.op.type.dims.length === rank) return true;
  const report = { what: `\`${name}\``, expected, found: printType(value.op.type) };
  reportAt(args, name, context, (...labels) => shapeDiagnostics.wrongRank(report, ...labels));
  return false;
}

/** `name` must be a vector of length `dim`, which is a dimension of the argument `of`. */
export function requireVector(args: Args, name: string, dim: Dim, of: string, context: Context): boolean {
  const [vector, source] = [args.get(name)!, args.get(of)!];
  if (vector.value.kind !== "tensor" || source.value.kind !== "tensor") return false;
  const expected = { element: "float" as const, dims: [dim] };
  const mismatch = compareTypes(expected, vector.value.op.type, context.state.equations);
  if (mismatch === undefined) return true;
  reportMismatch(`\`${name}\` must be a vector of matching length`, mismatch, context, {
    expected: { type: source.value.op.type, span: source.node.span },
    found: { type: vector.value.op.type, span: vector.node.span },
    wanted: expected,
  });
  return false;
}
