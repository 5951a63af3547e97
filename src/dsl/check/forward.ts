/** `forward`: its signature, its body, and the prediction it ends with. */
import { paramDiagnostics } from "../../diagnostics/catalogue-params.js";
import { shapeDiagnostics } from "../../diagnostics/catalogue-shapes.js";
import { label } from "../../diagnostics/define.js";
import { textOfSpan } from "../../source/source-file.js";
import type { Forward } from "../ast/nodes.js";
import type { CheckedOp, TensorType } from "./checked-model.js";
import type { Context } from "./context.js";
import { bodyOf } from "./elementwise.js";
import { evaluateDim } from "./parameter-types.js";
import { Scope } from "./scope.js";
import { compareTypes, reportMismatch } from "./shapes.js";
import { type Outcome, runStatements } from "./statements.js";
import { axisDim, describeValue, printType } from "./values.js";

export interface ForwardResult {
  /** Of every token: [tokens, vocab]. */
  readonly logits: CheckedOp;
  readonly copy: number;
}

/** Checks `forward`; undefined where it is wrong, which has been reported. `copies` is undefined where `repeat` is wrong. */
export function checkForward(node: Forward, copies: number | undefined, context: Context): ForwardResult | undefined {
  const result = checkSignature(node, context);
  const scope = new Scope(context.scope);
  const ids = bodyOf(context).add<CheckedOp>({
    kind: "input",
    type: { element: "int", dims: [axisDim("positions")] },
    span: node.input.span,
  });
  bodyOf(context).name(ids, node.input.text);
  scope.declare(node.input.text, { value: { kind: "tensor", op: ids }, mutable: false, span: node.input.span });
  const outcome = runStatements(node.body.statements, { ...context, scope: new Scope(scope) });
  if (context.state.loop === undefined) {
    const hint = "Write `for l in layers { … }`.";
    context.state.report(
      shapeDiagnostics.missingPart({ what: "for", why: "so the model has no layers", hint }, label(node.span)),
    );
  }
  const predicted = checkOutcome(outcome, node, context);
  if (predicted === undefined || result === undefined) return undefined;
  return checkPrediction(predicted, result, node, copies, context);
}

/** The declared result; undefined where the signature is wrong. */
function checkSignature(node: Forward, context: Context): TensorType | undefined {
  const input = node.inputType;
  const isIds =
    input.kind === "tensor-type" &&
    input.element === "int" &&
    input.dims.length === 1 &&
    input.dims[0]!.kind === "name" &&
    input.dims[0]!.text === "positions";
  if (!isIds) {
    const report = { what: "The argument", expected: "[positions] int", found: textOfSpan(input.span) };
    context.state.report(shapeDiagnostics.forwardSignature(report, label(input.span)));
  }
  const { result } = node;
  const dims = result.kind === "tensor-type" ? result.dims.map((dim) => evaluateDim(dim, context)) : [];
  if (dims.includes(undefined)) return undefined;
  const [positions, vocab] = dims;
  const isLogits =
    result.kind === "tensor-type" &&
    result.element === "float" &&
    dims.length === 2 &&
    positions?.kind === "axis" &&
    positions.name === "positions" &&
    vocab?.kind === "size";
  if (isLogits) return isIds ? { element: "float", dims: [positions, vocab] } : undefined;
  const report = { what: "The result", expected: "[positions, vocab]", found: textOfSpan(result.span) };
  context.state.report(shapeDiagnostics.forwardSignature(report, label(result.span)));
  return undefined;
}

function checkOutcome(
  outcome: Outcome,
  node: Forward,
  context: Context,
): Extract<Outcome, { kind: "predicted" }> | undefined {
  switch (outcome.kind) {
    case "predicted":
      return outcome;
    case "returned": {
      const what = "`forward` ends with `predict`, not with `return`";
      const hint = "Write `predict copy K: …`.";
      context.state.report(shapeDiagnostics.misplacedStatement({ what, hint }, label(outcome.span)));
      return undefined;
    }
    case "continues": {
      const hint = "End `forward` with `predict copy K: …`.";
      const report = { what: "predict", why: "so the model has no result", hint };
      context.state.report(shapeDiagnostics.missingPart(report, label(node.span)));
      return undefined;
    }
  }
}

function checkPrediction(
  predicted: Extract<Outcome, { kind: "predicted" }>,
  result: TensorType,
  node: Forward,
  copies: number | undefined,
  context: Context,
): ForwardResult | undefined {
  const { state } = context;
  const { copy, value, node: statement } = predicted;
  if (copy.kind === "failed" || value.kind === "failed" || copies === undefined) return undefined;
  if (copy.kind !== "int" || copy.size.value < 1 || copy.size.value > copies) {
    const place = label(statement.copy.span);
    state.report(
      copy.kind === "int"
        ? paramDiagnostics.outOfRange({ what: "The copy", value: copy.size.value, least: 1, most: copies }, place)
        : shapeDiagnostics.wrongType({ expected: "an integer", found: describeValue(copy) }, place),
    );
    return undefined;
  }
  const { span } = statement.value;
  if (value.kind !== "tensor") {
    state.report(shapeDiagnostics.wrongType({ expected: "a tensor", found: describeValue(value) }, label(span)));
    return undefined;
  }
  // Each token predicts; `predict copy` keeps one token of each position.
  const expected: TensorType = { element: "float", dims: [axisDim("tokens"), ...result.dims.slice(1)] };
  const mismatch = compareTypes(expected, value.op.type, state.equations);
  if (mismatch !== undefined) {
    reportMismatch(`What \`predict\` takes must become ${printType(result)}`, mismatch, context, {
      expected: { type: result, span: node.result.span, isDeclaration: true },
      found: { type: value.op.type, span },
      wanted: expected,
    });
    return undefined;
  }
  return { logits: value.op, copy: copy.size.value };
}
