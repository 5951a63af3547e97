/**
 * Declared types: of parameters, results, and `let`s that state one.
 *
 * In the type of a function's parameter a name that means nothing yet stands for whatever dimension the argument has there, and means
 * that from then on: in `x: [rows, dim], w: [dim]` the second `dim` must equal the first.
 */
import { shapeDiagnostics } from "../../diagnostics/catalogue-shapes.js";
import { label } from "../../diagnostics/define.js";
import { type Span, textOfSpan } from "../../source/source-file.js";
import type { Expression, FunctionDefinition, TensorTypeNode, TypeNode } from "../ast/nodes.js";
import type { Dim, TensorType } from "./checked-model.js";
import { type Context, callLabels } from "./context.js";
import { evaluate } from "./evaluate.js";
import { compareDims, reportMismatch } from "./shapes.js";
import { axisDim, describeValue, sizeDim, type Value } from "./values.js";

interface PlacedValue {
  readonly value: Value;
  readonly span: Span;
}

/** Declares the parameters of a function in the scope of `context`; false where an argument does not suit, which has been reported. */
export function bindParameters(
  definition: FunctionDefinition,
  values: ReadonlyMap<string, PlacedValue>,
  context: Context,
): boolean {
  // Scalars first: the types of tensors may speak of scalars that stand after them.
  const scalarsFirst = [...definition.params].sort(
    (a, b) => Number(a.type.kind !== "scalar-type") - Number(b.type.kind !== "scalar-type"),
  );
  for (const param of scalarsFirst) {
    const placed = values.get(param.name.text)!;
    const what = `The argument \`${param.name.text}\` of \`${definition.name.text}\``;
    const value = checkAgainstType(what, param.type, placed, context, true);
    if (value === undefined) return false;
    context.scope.declare(param.name.text, { value, mutable: false, span: param.name.span });
  }
  return true;
}

/**
 * The value, converted to the declared type (an integer may stand for a real number); undefined where it does not suit, which has
 * been reported. With `binding`, unknown names in dimensions are declared.
 */
export function checkAgainstType(
  what: string,
  type: TypeNode,
  placed: PlacedValue,
  context: Context,
  binding = false,
): Value | undefined {
  const { value } = placed;
  if (value.kind === "failed") return undefined;
  if (type.kind === "tensor-type") return checkTensor(what, type, placed, context, binding);
  const converted = convertScalar(type.name, value);
  if (converted !== undefined) return converted;
  const names = { int: "an integer", real: "a real number", string: "a string", bool: "a truth value" };
  const report = { expected: names[type.name], found: describeValue(value) };
  const labels = [label(placed.span), label(type.span, "declared here"), ...callLabels(context)];
  context.state.report(shapeDiagnostics.wrongType(report, ...labels));
  return undefined;
}

function convertScalar(name: "int" | "real" | "string" | "bool", value: Value): Value | undefined {
  switch (name) {
    case "int":
      return value.kind === "int" || value.kind === "layer-int" ? value : undefined;
    case "real":
      if (value.kind === "int") return { kind: "real", value: value.size.value };
      return value.kind === "real" ? value : undefined;
    case "string":
      return value.kind === "string" ? value : undefined;
    case "bool":
      return value.kind === "bool" || value.kind === "layer-bool" ? value : undefined;
  }
}

function checkTensor(
  what: string,
  type: TensorTypeNode,
  placed: PlacedValue,
  context: Context,
  binding: boolean,
): Value | undefined {
  const { value } = placed;
  if (value.kind !== "tensor") {
    const report = { expected: "a tensor", found: describeValue(value) };
    const labels = [label(placed.span), label(type.span, "declared here"), ...callLabels(context)];
    context.state.report(shapeDiagnostics.wrongType(report, ...labels));
    return undefined;
  }
  const found = value.op.type;
  const dims = type.dims.map((node, index) => {
    const isNew = binding && node.kind === "name" && context.scope.find(node.text) === undefined;
    const actual = found.dims[index];
    if (isNew && actual !== undefined) {
      context.scope.declare(node.text, { value: dimValue(actual), mutable: false, span: node.span });
      return actual;
    }
    return isNew ? undefined : evaluateDim(node, context);
  });
  // A dimension that could not be read has been reported; one that stands past the end of the tensor is a mismatch.
  if (dims.some((dim, index) => dim === undefined && index < found.dims.length)) return undefined;
  const expected: TensorType = { element: type.element, dims: dims.map((dim) => dim ?? axisDim("tokens")) };
  const rankDiffers = expected.dims.length !== found.dims.length || expected.element !== found.element;
  const mismatches = rankDiffers
    ? [{ kind: "shape" as const }]
    : expected.dims.flatMap((dim, index) => compareDims(dim, found.dims[index]!, context.state.equations) ?? []);
  const worst = mismatches.find((mismatch) => mismatch.kind !== "accident") ?? mismatches[0];
  if (worst === undefined) return value;
  if (rankDiffers) {
    const report = { what, expected: `\`${textOfSpan(type.span)}\``, found: describeValue(value) };
    const labels = [label(placed.span), label(type.span, "declared here"), ...callLabels(context)];
    context.state.report(shapeDiagnostics.wrongRank(report, ...labels));
    return undefined;
  }
  reportMismatch(what, worst, context, {
    expected: { type: expected, span: type.span, isDeclaration: true },
    found: { type: found, span: placed.span },
  });
  return undefined;
}

function dimValue(dim: Dim): Value {
  return dim.kind === "axis" ? { kind: "axis", name: dim.name } : { kind: "int", size: dim.size };
}

/** A dimension as written: an axis, or an integer that does not depend on the layer. */
export function evaluateDim(node: Expression, context: Context): Dim | undefined {
  const value = evaluate(node, context);
  switch (value.kind) {
    case "axis":
      return axisDim(value.name);
    case "int":
      return sizeDim(value.size);
    case "failed":
      return undefined;
    case "layer-int":
      context.state.report(
        shapeDiagnostics.dependsOnLayer({ what: "A shape" }, label(node.span), ...callLabels(context)),
      );
      return undefined;
    default: {
      const report = { expected: "an integer or an axis", found: describeValue(value) };
      context.state.report(shapeDiagnostics.wrongType(report, label(node.span), ...callLabels(context)));
      return undefined;
    }
  }
}
