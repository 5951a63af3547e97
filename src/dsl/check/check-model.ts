/**
 * Syntax tree to checked model: the front door of the checker.
 *
 * The order is that of what depends on what: parameters, requirements, the repeat count, the relation and the rotation, and then
 * `forward`, which is run once on symbolic values.
 */
import { nameDiagnostics } from "../../diagnostics/catalogue-names.js";
import { paramDiagnostics } from "../../diagnostics/catalogue-params.js";
import { shapeDiagnostics } from "../../diagnostics/catalogue-shapes.js";
import { label } from "../../diagnostics/define.js";
import { DiagnosticCollector, DiagnosticError, type Label } from "../../diagnostics/diagnostic.js";
import { stdLibrary } from "../../generated/std-library.js";
import type { AttendDeclaration, FileNode, ModelDeclaration, ModelItem, RotateDeclaration } from "../ast/nodes.js";
import { BodyBuilder } from "./body-builder.js";
import { checkDefinitions } from "./check-definitions.js";
import type { CheckedAttend, CheckedModel } from "./checked-model.js";
import { CheckState, type Context, type Rotation } from "./context.js";
import { Definitions, type Library, loadDefinitions } from "./definitions.js";
import { evaluate } from "./evaluate.js";
import { checkForward } from "./forward.js";
import { checkRequirement, declareParams, type ParamOverrides } from "./params.js";
import { evaluateAttend, evaluateRotate } from "./relations.js";
import { Scope } from "./scope.js";
import { describeValue, intValue } from "./values.js";

export interface CheckOptions {
  /** Overrides of parameters, as `--set` gives them. */
  readonly set?: ParamOverrides;
  /** The library; the one that comes with phdc unless a test brings its own. */
  readonly library?: Library;
}

/** More copies than the paper's largest (256) by far. */
export const mostCopies = 1024;

/** Checks the model of a file. Undefined if anything is wrong, and then `diagnostics` says what. */
export function checkModel(
  file: FileNode,
  diagnostics: DiagnosticCollector,
  options: CheckOptions = {},
): CheckedModel | undefined {
  const found = new DiagnosticCollector();
  const state = new CheckState(found);
  let checked: CheckedModel | undefined;
  try {
    checked = checkFile(file, state, options);
  } catch (error) {
    // The budget is spent, or a nesting limit met: the check stops there.
    if (!(error instanceof DiagnosticError)) throw error;
    for (const diagnostic of error.diagnostics) found.add(diagnostic);
  }
  for (const diagnostic of found.diagnostics) diagnostics.add(diagnostic);
  return found.hasErrors ? undefined : checked;
}

function checkFile(file: FileNode, state: CheckState, options: CheckOptions): CheckedModel | undefined {
  const global = globalScope();
  const definitions = loadDefinitions(file, options.library ?? stdLibrary, global, state);
  const [model, second] = file.models;
  if (second !== undefined) {
    const labels = [label(second.name.span), label(model!.name.span, "the first one")];
    state.report(nameDiagnostics.severalModels({}, ...labels));
  }
  if (model === undefined) {
    const place = label({ file: file.file, start: 0, end: 0 });
    state.report(nameDiagnostics.noModel({ file: file.file.name }, place));
    global.declare("K", { value: { kind: "failed" }, mutable: false });
    checkDefinitions(file, undefined, definitions, state);
    return undefined;
  }
  return checkModelDeclaration(model, file, definitions, global, state, options);
}

/** What every text sees. `K` is added once it is known. */
function globalScope(): Scope {
  const scope = new Scope();
  scope.declare("tokens", { value: { kind: "axis", name: "tokens" }, mutable: false });
  scope.declare("positions", { value: { kind: "axis", name: "positions" }, mutable: false });
  scope.declare("pi", { value: { kind: "real", value: Math.PI }, mutable: false });
  return scope;
}

type ItemOf<Kind extends ModelItem["kind"]> = Extract<ModelItem, { kind: Kind }>;

function itemsOf<Kind extends ModelItem["kind"]>(model: ModelDeclaration, kind: Kind): ItemOf<Kind>[] {
  return model.items.filter((item): item is ItemOf<Kind> => item.kind === kind);
}

function onlyItem<Kind extends "repeat" | "attend" | "rotate" | "forward">(
  model: ModelDeclaration,
  kind: Kind,
  state: CheckState,
): ItemOf<Kind> | undefined {
  const [first, ...others] = itemsOf(model, kind);
  for (const other of others as readonly ModelItem[]) {
    const labels = [label(other.span), label((first as ModelItem).span, "the first one")];
    state.report(paramDiagnostics.declaredTwice({ what: kind }, ...labels));
  }
  return first;
}

function checkModelDeclaration(
  model: ModelDeclaration,
  file: FileNode,
  fileDefinitions: Definitions,
  global: Scope,
  state: CheckState,
  options: CheckOptions,
): CheckedModel | undefined {
  const scope = new Scope(global);
  const definitions = new Definitions(file.file.name, scope, [], fileDefinitions);
  for (const item of model.items) {
    if (item.kind === "index" || item.kind === "rule") definitions.add(item, state);
  }
  const context: Context = { state, definitions, scope, prefix: "", calls: [] };
  const params = declareParams(model, itemsOf(model, "param"), options.set ?? {}, context);
  const copies = checkRepeat(model, context);
  global.declare("K", { value: copiesValue(copies), mutable: false });
  for (const requirement of itemsOf(model, "require")) checkRequirement(requirement, context);
  checkDefinitions(file, model, definitions, state);

  const attendNode = onlyItem(model, "attend", state);
  const rotateNode = onlyItem(model, "rotate", state);
  // A relation or rotation that is wrong has been reported; in its place stands one that keeps `forward` quiet about it.
  const attend = attendNode && (evaluateAttend(attendNode, context) ?? wrongAttend(attendNode));
  const rotation = rotateNode && (evaluateRotate(rotateNode, context) ?? wrongRotation(rotateNode));
  const forward = onlyItem(model, "forward", state);
  if (forward === undefined) {
    const hint = "Add `forward(ids: [positions] int) -> [positions, vocab] { … }`.";
    state.report(shapeDiagnostics.missingPart({ what: "forward", why: "", hint }, label(model.name.span)));
    return undefined;
  }
  const body = new BodyBuilder();
  const result = checkForward(forward, copies, { ...context, body, attend, rotation });
  if (result === undefined || copies === undefined) return undefined;
  return {
    name: model.name.text,
    source: file.file,
    span: model.span,
    params,
    copies,
    predictCopy: result.copy,
    body: body.finish(),
    logits: result.logits,
  };
}

function wrongAttend({ span }: AttendDeclaration): CheckedAttend {
  return { predicate: { kind: "constant", value: true, span }, span };
}

function wrongRotation({ span }: RotateDeclaration): Rotation {
  return { index: { kind: "constant", value: 0, span }, span, frequencies: () => undefined };
}

/** K, or undefined where `repeat` is wrong, which has been reported. */
function checkRepeat(model: ModelDeclaration, context: Context): number | undefined {
  const { state } = context;
  const node = onlyItem(model, "repeat", state);
  if (node === undefined) return matchesParameter(1, [], context) ? 1 : undefined;
  const value = evaluate(node.copies, context);
  if (value.kind === "failed") return undefined;
  const place = label(node.copies.span);
  if (value.kind !== "int") {
    state.report(shapeDiagnostics.wrongType({ expected: "an integer", found: describeValue(value) }, place));
    return undefined;
  }
  const copies = value.size.value;
  if (copies < 1 || copies > mostCopies) {
    const report = { what: "The number of copies", value: copies, least: 1, most: mostCopies };
    state.report(paramDiagnostics.outOfRange(report, place));
    return undefined;
  }
  return matchesParameter(copies, [place], context) ? copies : undefined;
}

/** Whether a parameter `K`, if there is one, is the repeat count that was stated at `place`, or is 1 where nobody stated one. */
function matchesParameter(copies: number, place: readonly Label[], { scope, state }: Context): boolean {
  const param = scope.own("K");
  if (param?.value.kind !== "int" || param.value.size.value === copies) return true;
  const labels = param.span === undefined ? [] : [label(param.span, "the parameter")];
  state.report(paramDiagnostics.repeatCountName({ parameter: param.value.size.value, copies }, ...place, ...labels));
  return false;
}

function copiesValue(copies: number | undefined) {
  return copies === undefined ? ({ kind: "failed" } as const) : intValue(copies);
}
