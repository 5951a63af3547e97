/** `attend q -> k when …` and `rotate t by …, pair i at …`. */
import { nameDiagnostics } from "../../diagnostics/catalogue-names.js";
import { paramDiagnostics } from "../../diagnostics/catalogue-params.js";
import { shapeDiagnostics } from "../../diagnostics/catalogue-shapes.js";
import { label } from "../../diagnostics/define.js";
import type { Term } from "../../ir/relation/predicate.js";
import { excerpt, type Span } from "../../source/source-file.js";
import type { AttendDeclaration, RotateDeclaration } from "../ast/nodes.js";
import type { CheckedAttend } from "./checked-model.js";
import { type Context, callLabels, type Rotation } from "./context.js";
import { evaluate } from "./evaluate.js";
import { Scope } from "./scope.js";
import { predicateSize, toPredicate, toTerm } from "./terms.js";
import { describeValue, intValue, numberOf } from "./values.js";

/** Comparisons and connectives of one predicate, after rules are expanded. */
const largestPredicate = 2000;

/** Constants of a relation; kernels compute with 32 bits. */
const largestConstant = 2 ** 30;

export function evaluateAttend(node: AttendDeclaration, context: Context): CheckedAttend | undefined {
  const { state } = context;
  const { query, key } = node;
  if (query.text === key.text) {
    state.report(nameDiagnostics.definedTwice({ name: key.text }, label(key.span), label(query.span)));
    return undefined;
  }
  const scope = new Scope(context.scope);
  scope.declare(query.text, { value: { kind: "token", role: "q" }, mutable: false, span: query.span });
  scope.declare(key.text, { value: { kind: "token", role: "k" }, mutable: false, span: key.span });
  const value = evaluate(node.predicate, { ...context, scope });
  if (value.kind === "failed") return undefined;
  const predicate = toPredicate(value, node.predicate.span);
  const place = label(node.predicate.span);
  if (predicate === undefined) {
    if (value.kind === "layer-bool")
      state.report(shapeDiagnostics.dependsOnLayer({ what: "Who attends to whom" }, place));
    else
      state.report(
        shapeDiagnostics.wrongType({ expected: "a condition on tokens", found: describeValue(value) }, place),
      );
    return undefined;
  }
  if (predicateSize(predicate) > largestPredicate) {
    state.report(shapeDiagnostics.modelTooLarge({ what: "This relation", limit: largestPredicate }, place));
    return undefined;
  }
  const largest = largestIn(predicate, node.predicate.span);
  if (Math.abs(largest.value) > largestConstant) {
    const what = `A number in \`${excerpt(largest.span)}\``;
    const hint =
      "No sequence is as long: leave out a bound that nothing reaches, and make factors smaller on both sides.";
    const report = { what, value: largest.value, least: -largestConstant, most: largestConstant, hint };
    const labels = largest.span === node.predicate.span ? [place] : [label(largest.span), place];
    state.report(paramDiagnostics.outOfRange(report, ...labels));
    return undefined;
  }
  return { predicate, span: node.span };
}

/** The number of a predicate that is farthest from 0, and the smallest part with a place that it is in. */
function largestIn(node: unknown, around: Span): { readonly value: number; readonly span: Span } {
  if (typeof node === "number") return { value: node, span: around };
  let largest = { value: 0, span: around };
  if (typeof node !== "object" || node === null) return largest;
  const span = "span" in node && node.span !== undefined ? (node.span as Span) : around;
  for (const [key, part] of Object.entries(node)) {
    const found = key === "span" ? largest : largestIn(part, span);
    if (Math.abs(found.value) > Math.abs(largest.value)) largest = found;
  }
  return largest;
}

export function evaluateRotate(node: RotateDeclaration, context: Context): Rotation | undefined {
  const scope = new Scope(context.scope);
  scope.declare(node.token.text, { value: { kind: "token", role: "q" }, mutable: false, span: node.token.span });
  const value = evaluate(node.index, { ...context, scope });
  if (value.kind === "failed") return undefined;
  const index = toTerm(value);
  const place = label(node.index.span);
  if (index === undefined) {
    const report = { expected: "an integer that depends on the token", found: describeValue(value) };
    context.state.report(shapeDiagnostics.wrongType(report, place));
    return undefined;
  }
  const mixing = findMixing(index);
  if (mixing !== undefined) {
    const at = mixing.span === undefined ? place : label(mixing.span);
    context.state.report(shapeDiagnostics.rotationMixes({ operator: mixing.kind }, at));
    return undefined;
  }
  const known = new Map<number, readonly number[] | undefined>();
  const frequencies = (width: number) => {
    if (!known.has(width)) known.set(width, computeFrequencies(node, width, context));
    return known.get(width);
  };
  return { index, span: node.span, frequencies };
}

/** A `div` or `mod` over both coordinates; sums and multiples of them come apart into a part for each. */
function findMixing(term: Term): Term | undefined {
  switch (term.kind) {
    case "add":
      return findMixing(term.left) ?? findMixing(term.right);
    case "scale":
      return findMixing(term.term);
    case "div":
    case "mod":
      return mentions(term, "q.pos") && mentions(term, "q.copy") ? term : undefined;
    default:
      return undefined;
  }
}

function mentions(term: Term, coordinate: "q.pos" | "q.copy"): boolean {
  switch (term.kind) {
    case "coordinate":
      return term.name === coordinate;
    case "add":
      return mentions(term.left, coordinate) || mentions(term.right, coordinate);
    case "constant":
      return false;
    default:
      return mentions(term.term, coordinate);
  }
}

/** The frequency that Llama's original paper gives pair i of a head; used where `rotate` does not say. */
function defaultFrequency(pair: number, width: number): number {
  return 10_000 ** ((-2 * pair) / width);
}

function computeFrequencies(node: RotateDeclaration, width: number, context: Context): readonly number[] | undefined {
  const pairs = Array.from({ length: width / 2 }, (_, pair) => pair);
  const { pair: declared } = node;
  if (declared === undefined) return pairs.map((pair) => defaultFrequency(pair, width));
  const frequencies: number[] = [];
  for (const pair of pairs) {
    const scope = new Scope(context.scope);
    scope.declare(declared.name.text, { value: intValue(pair), mutable: false, span: declared.name.span });
    const value = evaluate(declared.frequency, { ...context, scope });
    if (value.kind === "failed") return undefined;
    const frequency = numberOf(value);
    if (frequency === undefined) {
      const report = { expected: "a real number", found: describeValue(value) };
      const labels = [label(declared.frequency.span), ...callLabels(context)];
      context.state.report(shapeDiagnostics.wrongType(report, ...labels));
      return undefined;
    }
    frequencies.push(frequency);
  }
  return frequencies;
}
