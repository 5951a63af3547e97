/**
 * The tensor operations: what shapes each takes, and what it makes of them.
 *
 * Every function here returns the new operation, or undefined where an argument does not suit, which it has then reported.
 */
import { paramDiagnostics } from "../../diagnostics/catalogue-params.js";
import { shapeDiagnostics } from "../../diagnostics/catalogue-shapes.js";
import { label } from "../../diagnostics/define.js";
import { unreachable } from "../../diagnostics/diagnostic.js";
import type { Call } from "../ast/nodes.js";
import { applyAttention, applyRope } from "./attention-builtins.js";
import type { TensorBuiltin } from "./builtin-names.js";
import type { Args } from "./builtins.js";
import type { CheckedOp, Dim, TensorType, UnaryOp } from "./checked-model.js";
import { type Context, callLabels } from "./context.js";
import { tensorValue } from "./elementwise.js";
import { positiveInt, realArgument, reportAt, requireRank, requireVector, tensorArgument } from "./operands.js";
import { compareTypes, reportMismatch } from "./shapes.js";
import { divideSizes, multiplySizes } from "./size.js";
import { axisDim, failed, printType, sizeDim, type Value } from "./values.js";

export function applyTensorBuiltin(node: Call, name: TensorBuiltin, args: Args, context: Context): Value {
  const op = build(node, name, args, context);
  return op === undefined ? failed : tensorValue(op, context);
}

function build(node: Call, name: TensorBuiltin, args: Args, context: Context): CheckedOp | undefined {
  switch (name) {
    case "embed":
      return embed(node, args, context);
    case "repeat":
      return repeat(node, args, context);
    case "linear":
      return linear(node, args, context);
    case "rms_norm":
      return rmsNorm(node, args, context);
    case "rope":
      return applyRope(node, args, context);
    case "split":
      return split(node, args, context);
    case "merge":
      return merge(node, args, context);
    case "attention":
      return applyAttention(node, args, context);
    case "gelu":
      return unary(node, "gelu-tanh", args, context);
    case "silu":
    case "relu":
    case "sigmoid":
    case "tanh":
      return unary(node, name, args, context);
    default:
      return unreachable(name);
  }
}

function embed(node: Call, args: Args, context: Context): CheckedOp | undefined {
  const ids = tensorArgument(args, "ids", context, "int");
  const table = tensorArgument(args, "table", context);
  if (ids === undefined || table === undefined) return undefined;
  if (!requireRank(args, "table", 2, "[vocab, width]", context)) return undefined;
  const type: TensorType = { element: "float", dims: [...ids.type.dims, table.type.dims[1]!] };
  return { kind: "embed", ids, table, type, span: node.span };
}

function repeat(node: Call, args: Args, context: Context): CheckedOp | undefined {
  const input = tensorArgument(args, "x", context);
  if (input === undefined) return undefined;
  if (context.layer !== undefined) {
    const what = "`repeat` cannot stand inside the layer loop";
    const hint = "Repeat the embeddings, before the loop.";
    context.state.report(shapeDiagnostics.misplacedStatement({ what, hint }, label(node.span), ...callLabels(context)));
    return undefined;
  }
  const [axis, ...rest] = input.type.dims;
  if (axis?.kind !== "axis" || axis.name !== "positions") {
    const found = printType(input.type);
    reportAt(args, "x", context, (...labels) =>
      axis?.kind === "axis"
        ? shapeDiagnostics.axesMix({ what: "`repeat`", expected: "positions", found: "tokens" }, ...labels)
        : shapeDiagnostics.wrongRank({ what: "What `repeat` repeats", expected: "[positions, …]", found }, ...labels),
    );
    return undefined;
  }
  return { kind: "repeat", input, type: { element: "float", dims: [axisDim("tokens"), ...rest] }, span: node.span };
}

function linear(node: Call, args: Args, context: Context): CheckedOp | undefined {
  const input = tensorArgument(args, "x", context);
  const weight = tensorArgument(args, "weight", context);
  if (input === undefined || weight === undefined) return undefined;
  if (!requireRank(args, "weight", 2, "[out, in]", context)) return undefined;
  const [out, inner] = weight.type.dims as readonly [Dim, Dim];
  const last = input.type.dims.at(-1)!;
  const expected: TensorType = { element: "float", dims: [...input.type.dims.slice(0, -1), inner] };
  const mismatch = compareTypes(expected, input.type, context.state.equations);
  if (mismatch !== undefined || last.kind === "axis") {
    reportMismatch("`linear` needs an input as wide as its weight", mismatch ?? { kind: "shape" }, context, {
      expected: { type: weight.type, span: args.get("weight")!.node.span },
      found: { type: input.type, span: args.get("x")!.node.span },
      wanted: expected,
    });
    return undefined;
  }
  const bias = args.has("bias") ? tensorArgument(args, "bias", context) : undefined;
  if (args.has("bias")) {
    if (bias === undefined || !requireVector(args, "bias", out, "weight", context)) return undefined;
  }
  const type: TensorType = { element: "float", dims: [...input.type.dims.slice(0, -1), out] };
  return { kind: "linear", input, weight, ...(bias === undefined ? {} : { bias }), type, span: node.span };
}

function rmsNorm(node: Call, args: Args, context: Context): CheckedOp | undefined {
  const input = tensorArgument(args, "x", context);
  if (input === undefined) return undefined;
  const weight = args.has("weight") ? tensorArgument(args, "weight", context) : undefined;
  if (args.has("weight")) {
    if (weight === undefined || !requireVector(args, "weight", input.type.dims.at(-1)!, "x", context)) return undefined;
  }
  const epsilon = args.has("eps") ? realArgument(args, "eps", context) : 1e-5;
  if (epsilon === undefined) return undefined;
  if (epsilon < 0 || epsilon > 1) {
    reportAt(args, "eps", context, (...labels) =>
      paramDiagnostics.outOfRange({ what: "`eps`", value: epsilon, least: 0, most: 1 }, ...labels),
    );
    return undefined;
  }
  return {
    kind: "rms-norm",
    input,
    ...(weight === undefined ? {} : { weight }),
    epsilon,
    type: input.type,
    span: node.span,
  };
}

function split(node: Call, args: Args, context: Context): CheckedOp | undefined {
  const input = tensorArgument(args, "x", context);
  const heads = positiveInt(args, "heads", context);
  if (input === undefined || heads === undefined) return undefined;
  if (!requireRank(args, "x", 2, "[tokens, heads * width]", context)) return undefined;
  const [rows, width] = input.type.dims;
  if (width?.kind !== "size") return undefined;
  if (width.size.value % heads.value !== 0) {
    const report = { what: "`split`", size: width.size.text, value: width.size.value, divisor: heads.text };
    reportAt(args, "x", context, (...labels) => shapeDiagnostics.notDivisible(report, ...labels));
    return undefined;
  }
  const head = divideSizes(width.size, heads);
  // It divides evenly, so merging the heads again gives the width back.
  context.state.equations.learn(multiplySizes(heads, head), width.size);
  const type: TensorType = { element: "float", dims: [rows!, sizeDim(heads), sizeDim(head)] };
  return { kind: "split", input, heads: heads.value, type, span: node.span };
}

function merge(node: Call, args: Args, context: Context): CheckedOp | undefined {
  const input = tensorArgument(args, "x", context);
  if (input === undefined) return undefined;
  if (!requireRank(args, "x", 3, "[tokens, heads, width]", context)) return undefined;
  const [rows, heads, width] = input.type.dims;
  if (heads?.kind !== "size" || width?.kind !== "size") return undefined;
  const type: TensorType = { element: "float", dims: [rows!, sizeDim(multiplySizes(heads.size, width.size))] };
  return { kind: "merge", input, type, span: node.span };
}

function unary(node: Call, name: UnaryOp["function"], args: Args, context: Context): CheckedOp | undefined {
  const input = tensorArgument(args, "x", context);
  return input === undefined ? undefined : { kind: "unary", function: name, input, type: input.type, span: node.span };
}
