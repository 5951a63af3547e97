/**
 * The layer loop: finds the classes of layers, and checks one body for each.
 *
 * The body runs for the first layer that has no class yet. The conditions on the index that it meets are remembered; the class is all
 * layers for which every one of them comes out the same. So a loop costs as much as it has classes, whatever its count.
 */
import { paramDiagnostics } from "../../diagnostics/catalogue-params.js";
import { shapeDiagnostics } from "../../diagnostics/catalogue-shapes.js";
import { label } from "../../diagnostics/define.js";
import type { Block, LayerLoop } from "../ast/nodes.js";
import { BodyBuilder } from "./body-builder.js";
import type { CarriedOp, CheckedBody, CheckedLayerClass, CheckedOp, LayersOp } from "./checked-model.js";
import type { Context, LayerState } from "./context.js";
import { bodyOf } from "./elementwise.js";
import { evaluate } from "./evaluate.js";
import { Scope } from "./scope.js";
import { runBlock } from "./statements.js";
import { describeValue, failed, printType } from "./values.js";
import { fillTemplate } from "./weights.js";

/** More layers than any model has; the lists that hold one entry per layer stay small. */
export const mostLayers = 4096;

/** Kinds of layers; each is a body of its own in everything that follows. */
const mostClasses = 64;

export function runLayerLoop(statement: LayerLoop, context: Context): void {
  const { state } = context;
  const place = label(statement.index.span);
  if (context.layer !== undefined || state.loop !== undefined) {
    const what = context.layer !== undefined ? "Layer loops do not nest" : "A model has one layer loop";
    const hint = "Kinds of layers are told apart with `if` on the index.";
    const labels = state.loop === undefined ? [] : [label(state.loop, "this is the other one")];
    state.report(shapeDiagnostics.misplacedStatement({ what, hint }, place, ...labels));
    return;
  }
  state.loop = statement.index.span;
  const count = evaluateCount(statement, context);
  const carried = carriedVariables(statement, context);
  if (count === undefined || carried === undefined) {
    for (const name of assignedNames(statement.body)) {
      if (context.scope.find(name)?.mutable === true) context.scope.assign(name, failed);
    }
    return;
  }
  const classes: CheckedLayerClass[] = [];
  const classOf: number[] = new Array(count).fill(-1);
  for (let layer = classOf.indexOf(-1); layer !== -1; layer = classOf.indexOf(-1)) {
    if (classes.length === mostClasses) {
      state.report(shapeDiagnostics.modelTooLarge({ what: "The layer loop", limit: mostClasses }, place));
      break;
    }
    const { checked, decisions } = checkLayer(statement, layer, count, carried, context);
    for (let other = layer; other < count; other++) {
      const alike = decisions.every(({ values }) => values[other] === values[layer]);
      if (classOf[other] === -1 && alike) classOf[other] = classes.length;
    }
    classes.push(checked);
  }
  finishLoop(statement, count, carried, classes, classOf, context);
}

function evaluateCount(statement: LayerLoop, context: Context): number | undefined {
  const value = evaluate(statement.count, context);
  if (value.kind === "failed") return undefined;
  const place = label(statement.count.span);
  if (value.kind !== "int") {
    const report = { expected: "the number of layers", found: describeValue(value) };
    context.state.report(shapeDiagnostics.wrongType(report, place));
    return undefined;
  }
  const count = value.size.value;
  if (count >= 1 && count <= mostLayers) return count;
  const report = { what: "The number of layers", value: count, least: 1, most: mostLayers };
  context.state.report(paramDiagnostics.outOfRange(report, place));
  return undefined;
}

interface CarriedVariable {
  readonly name: string;
  readonly op: CheckedOp;
}

/** The `var`s from outside that the body replaces: what one layer hands to the next. */
function carriedVariables(statement: LayerLoop, context: Context): CarriedVariable[] | undefined {
  const carried: CarriedVariable[] = [];
  for (const name of assignedNames(statement.body)) {
    const binding = context.scope.find(name);
    // Names that are unknown or cannot be replaced are reported where they are assigned.
    if (binding === undefined || !binding.mutable) continue;
    if (binding.value.kind === "failed") return undefined;
    if (binding.value.kind !== "tensor") {
      const labels = binding.span === undefined ? [] : [label(binding.span)];
      context.state.report(shapeDiagnostics.dependsOnLayer({ what: `\`${name}\`` }, ...labels));
      return undefined;
    }
    const { op } = binding.value;
    const axis = op.type.dims[0]!;
    if (axis.kind !== "axis" || axis.name !== "tokens") {
      const found = axis.kind === "axis" ? axis.name : "nothing";
      const report = { what: `\`${name}\` is passed from layer to layer`, expected: "tokens", found };
      const labels = binding.span === undefined ? [] : [label(binding.span, `this is ${printType(op.type)}`)];
      context.state.report(shapeDiagnostics.axesMix(report, ...labels));
      return undefined;
    }
    carried.push({ name, op });
  }
  return carried;
}

function assignedNames(block: Block, into = new Set<string>()): Set<string> {
  for (const statement of block.statements) {
    if (statement.kind === "assignment") into.add(statement.name.text);
    if (statement.kind === "within" || statement.kind === "for") assignedNames(statement.body, into);
    if (statement.kind === "if") {
      for (const branch of statement.branches) assignedNames(branch.body, into);
      if (statement.otherwise !== undefined) assignedNames(statement.otherwise, into);
    }
  }
  return into;
}

function checkLayer(
  statement: LayerLoop,
  representative: number,
  count: number,
  variables: readonly CarriedVariable[],
  context: Context,
): { readonly checked: CheckedLayerClass; readonly decisions: LayerState["decisions"] } {
  const layer: LayerState = { count, representative, decisions: [] };
  const body = new BodyBuilder();
  const scope = new Scope(context.scope);
  const indices = Array.from({ length: count }, (_, index) => index);
  const { index } = statement;
  scope.declare(index.text, {
    value: { kind: "layer-int", values: indices, isIndex: true },
    mutable: false,
    span: index.span,
  });
  const carried = variables.map(({ name, op }): CarriedOp => {
    const arg: CarriedOp = { kind: "carried", name, type: op.type, span: op.span };
    body.name(arg, name);
    const span = context.scope.find(name)?.span;
    scope.declare(name, { value: { kind: "tensor", op: arg }, mutable: true, ...(span === undefined ? {} : { span }) });
    return arg;
  });
  const inner = { ...context, layer, body, scope };
  const prefix = statement.within === undefined ? "" : `${fillTemplate(statement.within, inner) ?? ""}.`;
  const outcome = runBlock(statement.body, { ...inner, prefix: context.prefix + prefix });
  if (outcome.kind !== "continues") {
    const what = `\`${outcome.kind === "returned" ? "return" : "predict"}\` cannot stand inside the layer loop`;
    context.state.report(shapeDiagnostics.misplacedStatement({ what }, label(outcome.span)));
  }
  const checkedBody = body.finish();
  reportPositions(checkedBody, context);
  const yields = carried.map((arg): CheckedOp => {
    const value = scope.find(arg.name)?.value;
    return value?.kind === "tensor" ? value.op : arg;
  });
  const name = nameClass(layer);
  return { checked: { name, carried, body: checkedBody, yields }, decisions: layer.decisions };
}

/** Layers work on tokens; a tensor over positions in one would be neither repeated nor one row per token. */
function reportPositions({ ops }: CheckedBody, context: Context): void {
  for (const op of ops) {
    const axis = op.kind === "layers" ? undefined : op.type.dims[0];
    if (axis?.kind !== "axis" || axis.name !== "positions") continue;
    const report = { what: "Layers work on tokens", expected: "tokens", found: "positions" };
    context.state.report(shapeDiagnostics.axesMix(report, label(op.span)));
  }
}

/** `l mod 4 == 3`, `not (l mod 4 == 3)`, or `every layer`. */
function nameClass({ decisions, representative }: LayerState): string {
  const parts = decisions.map(({ values, text }) => (values[representative] ? text : `not (${text})`));
  return parts.length === 0 ? "every layer" : [...new Set(parts)].join(" and ");
}

function finishLoop(
  statement: LayerLoop,
  count: number,
  carried: readonly CarriedVariable[],
  classes: readonly CheckedLayerClass[],
  classOf: readonly number[],
  context: Context,
): void {
  const body = bodyOf(context);
  const inputs = carried.map(({ op }) => op);
  const loop = body.add<LayersOp>({ kind: "layers", span: statement.span, count, inputs, classes, classOf });
  for (const [index, { name, op }] of carried.entries()) {
    const result = body.add<CheckedOp>({ kind: "loop-result", loop, index, type: op.type, span: statement.index.span });
    body.name(result, name);
    context.scope.assign(name, { kind: "tensor", op: result });
  }
}
