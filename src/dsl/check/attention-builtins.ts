/** `rope` and `attention`: the two operations that ask the model about tokens. */
import { paramDiagnostics } from "../../diagnostics/catalogue-params.js";
import { shapeDiagnostics } from "../../diagnostics/catalogue-shapes.js";
import { label } from "../../diagnostics/define.js";
import type { Label } from "../../diagnostics/diagnostic.js";
import type { Call } from "../ast/nodes.js";
import type { Args } from "./builtins.js";
import type { CheckedOp, TensorType } from "./checked-model.js";
import { type Context, callLabels } from "./context.js";
import { realArgument, reportAt, requireRank, tensorArgument } from "./operands.js";
import { compareDims, reportMismatch } from "./shapes.js";
import { axisDim } from "./values.js";

const headsShape = "[tokens, heads, width]";

export function applyRope(node: Call, args: Args, context: Context): CheckedOp | undefined {
  const input = tensorArgument(args, "x", context);
  if (input === undefined || !requireRank(args, "x", 3, headsShape, context)) return undefined;
  if (!requireTokens(args, "x", input, context)) return undefined;
  if (context.rotation === undefined) {
    const why = "so `rope` does not know by which index to turn a token";
    const hint = "Add `rotate t by t.pos` to the model.";
    context.state.report(shapeDiagnostics.missingPart({ what: "rotate", why, hint }, ...whoAsks(node, context)));
    return undefined;
  }
  const width = input.type.dims[2];
  if (width?.kind !== "size") return undefined;
  if (width.size.value % 2 !== 0) {
    const report = { what: "`rope`", size: width.size.text, value: width.size.value, divisor: "2" };
    reportAt(args, "x", context, (...labels) => shapeDiagnostics.notDivisible(report, ...labels));
    return undefined;
  }
  const frequencies = context.rotation.frequencies(width.size.value);
  if (frequencies === undefined) return undefined;
  return { kind: "rope", input, index: context.rotation.index, frequencies, type: input.type, span: node.span };
}

/** What the model lacks is told at the model's own call, once for all that ask for it in there. */
function whoAsks(node: Call, context: Context): readonly Label[] {
  const asked = label(node.span);
  return context.calls.length === 0 ? [asked] : [...callLabels(context), label(node.span, "which asks for it here")];
}

export function applyAttention(node: Call, args: Args, context: Context): CheckedOp | undefined {
  const query = tensorArgument(args, "q", context);
  const key = tensorArgument(args, "k", context);
  const value = tensorArgument(args, "v", context);
  if (query === undefined || key === undefined || value === undefined) return undefined;
  for (const [name, op] of [["q", query] as const, ["k", key] as const, ["v", value] as const]) {
    if (!requireRank(args, name, 3, headsShape, context) || !requireTokens(args, name, op, context)) return undefined;
  }
  if (!requireSameWidths(args, query, key, value, context) || !requireNarrowHeads(args, query, context))
    return undefined;
  if (context.attend === undefined) {
    const why = "so attention does not know who sees whom";
    const hint = "Add `attend q -> k when …` to the model, for instance with a rule of std.phd.";
    context.state.report(shapeDiagnostics.missingPart({ what: "attend", why, hint }, ...whoAsks(node, context)));
    return undefined;
  }
  if (context.layer === undefined) {
    const what = "Attention belongs inside the layer loop";
    const hint = "Write it in `for l in layers { … }`.";
    context.state.report(shapeDiagnostics.misplacedStatement({ what, hint }, label(node.span), ...callLabels(context)));
    return undefined;
  }
  if (context.layer.attention !== undefined) {
    const what = "A layer attends once";
    const hint = "Each layer has one key and value cache. Write two layers, or combine the queries into more heads.";
    const labels = [label(node.span), label(context.layer.attention, "the first attention"), ...callLabels(context)];
    context.state.report(shapeDiagnostics.misplacedStatement({ what, hint }, ...labels));
    return undefined;
  }
  context.layer.attention = node.span;
  const width = query.type.dims[2]!;
  const scale = args.has("scale")
    ? realArgument(args, "scale", context)
    : 1 / Math.sqrt(width.kind === "size" ? width.size.value : 1);
  if (scale === undefined) return undefined;
  const type: TensorType = { element: "float", dims: [query.type.dims[0]!, query.type.dims[1]!, value.type.dims[2]!] };
  return { kind: "attention", query, key, value, attend: context.attend, scale, type, span: node.span };
}

/** Kernels hold a whole head of a query in registers and workgroup memory. */
export const widestHead = 256;

function requireNarrowHeads(args: Args, query: CheckedOp, context: Context): boolean {
  const width = query.type.dims[2];
  if (width?.kind !== "size" || width.size.value <= widestHead) return true;
  const report = { what: "The width of a head", value: width.size.value, least: 1, most: widestHead };
  reportAt(args, "q", context, (...labels) => paramDiagnostics.outOfRange(report, ...labels));
  return false;
}

function requireTokens(args: Args, name: string, op: CheckedOp, context: Context): boolean {
  const mismatch = compareDims(axisDim("tokens"), op.type.dims[0]!, context.state.equations);
  if (mismatch === undefined) return true;
  const what = `\`${name}\` must have one row per token`;
  reportMismatch(what, mismatch, context, {
    expected: {
      type: { ...op.type, dims: [axisDim("tokens"), ...op.type.dims.slice(1)] },
      span: args.get(name)!.node.span,
    },
    found: { type: op.type, span: args.get(name)!.node.span },
  });
  return false;
}

/** Keys as wide as queries; values with the keys' heads; a multiple of the keys' heads as query heads. */
function requireSameWidths(args: Args, query: CheckedOp, key: CheckedOp, value: CheckedOp, context: Context): boolean {
  const { equations } = context.state;
  const [tokens, heads, width] = query.type.dims;
  const expectedKey: TensorType = { element: "float", dims: [tokens!, key.type.dims[1]!, width!] };
  const keyMismatch = compareDims(width!, key.type.dims[2]!, equations);
  if (keyMismatch !== undefined) {
    reportMismatch("Keys must be as wide as queries", keyMismatch, context, {
      expected: { type: expectedKey, span: args.get("q")!.node.span },
      found: { type: key.type, span: args.get("k")!.node.span },
    });
    return false;
  }
  const valueMismatch =
    compareDims(key.type.dims[1]!, value.type.dims[1]!, equations) ??
    compareDims(width!, value.type.dims[2]!, equations);
  if (valueMismatch !== undefined) {
    reportMismatch("Values must have the heads and the width of the keys", valueMismatch, context, {
      expected: { type: key.type, span: args.get("k")!.node.span },
      found: { type: value.type, span: args.get("v")!.node.span },
    });
    return false;
  }
  const kvHeads = key.type.dims[1]!;
  if (heads?.kind !== "size" || kvHeads.kind !== "size") return false;
  if (heads.size.value % kvHeads.size.value === 0) return true;
  const divisor = `\`${kvHeads.size.text}\` (${kvHeads.size.value})`;
  const report = {
    what: "Query heads are shared among key heads",
    size: heads.size.text,
    value: heads.size.value,
    divisor,
  };
  reportAt(args, "q", context, (...labels) =>
    shapeDiagnostics.notDivisible(report, ...labels, label(args.get("k")!.node.span, "the key heads")),
  );
  return false;
}
