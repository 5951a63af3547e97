/** `weight "self_attn.q_proj" [heads * head_dim, dim]`: names of tensors, and their declared shapes. */
import { nameDiagnostics } from "../../diagnostics/catalogue-names.js";
import { paramDiagnostics } from "../../diagnostics/catalogue-params.js";
import { shapeDiagnostics } from "../../diagnostics/catalogue-shapes.js";
import { label } from "../../diagnostics/define.js";
import { nearestName } from "../../diagnostics/suggest.js";
import type { StringLiteral, WeightReference } from "../ast/nodes.js";
import type { Dim, TensorType } from "./checked-model.js";
import { type Context, callLabels } from "./context.js";
import { evaluateDim } from "./parameter-types.js";
import { compareTypes } from "./shapes.js";
import { describeKind, failed, printDim, printType, type Value } from "./values.js";

/** Elements along one dimension; kernels index with 32 bits. */
export const longestDimension = 2 ** 31 - 1;

export function evaluateWeight(node: WeightReference, context: Context): Value {
  const { body, state } = context;
  if (body === undefined) {
    const report = { expected: "a number", found: "a tensor" };
    state.report(shapeDiagnostics.wrongType(report, label(node.span)));
    return failed;
  }
  const name = fillTemplate(node.template, context);
  const dims = node.shape.map((dim) => evaluateWeightDim(dim, context));
  if (name === undefined || !dims.every((dim) => dim !== undefined)) return failed;
  const elements = dims.reduce((product, dim) => product * (dim.kind === "size" ? dim.size.value : 1), 1);
  if (!Number.isSafeInteger(elements)) {
    const text = dims.map(printDim).join(" * ");
    state.report(paramDiagnostics.numberTooLarge({ text }, label(node.span), ...callLabels(context)));
    return failed;
  }
  const tensor = context.prefix + name + (node.form === "tensor" ? "" : `.${node.form}`);
  const type: TensorType = { element: "float", dims };
  const before = body.findWeight(tensor);
  if (before === undefined)
    return { kind: "tensor", op: body.addWeight({ kind: "weight", tensor, type, span: node.span }) };
  if (compareTypes(before.type, type, state.equations)?.kind === "shape") {
    const report = { tensor, first: printType(before.type), second: printType(type) };
    const labels = [label(node.span), label(before.span, "declared here"), ...callLabels(context)];
    state.report(shapeDiagnostics.weightShapes(report, ...labels));
    return failed;
  }
  // The same tensor under the shape that this place writes: errors here speak this place's words.
  return { kind: "tensor", op: body.add({ kind: "weight", tensor, type, span: node.span }) };
}

function evaluateWeightDim(node: WeightReference["shape"][number], context: Context): Dim | undefined {
  const dim = evaluateDim(node, context);
  if (dim === undefined) return undefined;
  const labels = [label(node.span), ...callLabels(context)];
  if (dim.kind === "axis") {
    const report = { expected: "an integer", found: "a token axis" };
    context.state.report(shapeDiagnostics.wrongType(report, ...labels));
    return undefined;
  }
  const { value, text } = dim.size;
  if (value >= 1 && value <= longestDimension) return dim;
  const report = { what: `The dimension \`${text}\``, value, least: 1, most: longestDimension };
  context.state.report(paramDiagnostics.outOfRange(report, ...labels));
  return undefined;
}

/** Fills in `{name}`s. The layer index stays a placeholder, always spelled `{l}`. */
export function fillTemplate(template: StringLiteral, context: Context): string | undefined {
  let sound = true;
  const filled = template.value.replaceAll(/\{([^{}]*)\}/g, (_, name: string) => {
    const value = context.scope.find(name.trim())?.value;
    if (value?.kind === "layer-int" && value.isIndex) return "{l}";
    if (value?.kind === "int") return String(value.size.value);
    if (value?.kind === "string") return value.value;
    sound = false;
    if (value?.kind !== "failed") {
      const kind = value === undefined ? undefined : describeKind(value.kind);
      const nearest = kind === undefined ? nearestName(name.trim(), context.scope.names()) : undefined;
      const labels = [label(template.span), ...callLabels(context)];
      context.state.report(nameDiagnostics.unknownPlaceholder({ name, kind, nearest }, ...labels));
    }
    return "";
  });
  return sound ? filled : undefined;
}
