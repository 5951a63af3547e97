/**
 * Arithmetic, comparisons and logic on tokens' coordinates: what the predicate of `attend` is made of.
 *
 * Constants fold while the predicate is built, so a rule under parameters that switch it off leaves nothing behind.
 */
import { shapeDiagnostics } from "../../diagnostics/catalogue-shapes.js";
import { label } from "../../diagnostics/define.js";
import type { Comparison, Predicate, Term } from "../../ir/relation/predicate.js";
import { excerpt, type Span } from "../../source/source-file.js";
import type { Binary } from "../ast/nodes.js";
import { reportDivision } from "./arithmetic.js";
import { type Context, callLabels } from "./context.js";
import { describeKind, failed, type Value, type ValueOf } from "./values.js";

type Coordinate = "pos" | "copy";

export function coordinateValue(token: ValueOf<"token">, coordinate: Coordinate, span: Span): Value {
  return { kind: "term", term: { kind: "coordinate", name: `${token.role}.${coordinate}`, span } };
}

/** The value as a term, or undefined where it is no integer. */
export function toTerm(value: Value): Term | undefined {
  if (value.kind === "term") return value.term;
  return value.kind === "int" ? { kind: "constant", value: value.size.value } : undefined;
}

/** The value as a predicate, or undefined where it is no condition. */
export function toPredicate(value: Value, span: Span): Predicate | undefined {
  if (value.kind === "predicate") return value.predicate;
  return value.kind === "bool" ? { kind: "constant", value: value.value, span } : undefined;
}

function addTerms(left: Term, right: Term, span: Span): Term {
  if (left.kind === "constant" && right.kind === "constant") {
    return { kind: "constant", value: left.value + right.value, span };
  }
  if (right.kind === "constant" && right.value === 0) return left;
  if (left.kind === "constant" && left.value === 0) return right;
  return { kind: "add", left, right, span };
}

export function scaleTerm(factor: number, term: Term, span: Span): Term {
  if (term.kind === "constant") return { kind: "constant", value: factor * term.value, span };
  if (factor === 0) return { kind: "constant", value: 0, span };
  if (term.kind === "scale") return scaleTerm(factor * term.factor, term.term, span);
  return factor === 1 ? term : { kind: "scale", factor, term, span };
}

/** Arithmetic of which at least one side depends on tokens. */
export function termArithmetic(node: Binary, left: Value, right: Value, context: Context): Value {
  const { span, operator } = node;
  const [leftTerm, rightTerm] = [toTerm(left), toTerm(right)];
  if (leftTerm === undefined || rightTerm === undefined || operator === "/" || operator === "^") {
    const found = leftTerm === undefined ? left : right;
    return reportMixed(node, found, context);
  }
  switch (operator) {
    case "+":
      return termValue(addTerms(leftTerm, rightTerm, span));
    case "-":
      return termValue(addTerms(leftTerm, scaleTerm(-1, rightTerm, span), span));
    case "*": {
      if (leftTerm.kind === "constant") return termValue(scaleTerm(leftTerm.value, rightTerm, span));
      if (rightTerm.kind === "constant") return termValue(scaleTerm(rightTerm.value, leftTerm, span));
      const texts = { left: excerpt(node.left.span), right: excerpt(node.right.span) };
      context.state.report(
        shapeDiagnostics.nonLinear(
          texts,
          label(span),
          label(node.left.span, "depends on a token"),
          label(node.right.span, "and so does this"),
        ),
      );
      return failed;
    }
    case "div":
    case "mod":
      return divideTerm(node, operator, leftTerm, rightTerm, context);
    default:
      return reportMixed(node, right, context);
  }
}

function divideTerm(node: Binary, operator: "div" | "mod", left: Term, right: Term, context: Context): Value {
  if (right.kind !== "constant") {
    const report = { operator, divisor: excerpt(node.right.span) };
    context.state.report(shapeDiagnostics.divisorDependsOnToken(report, label(node.right.span)));
    return failed;
  }
  if (right.value <= 0) return reportDivision(node, right.value, context);
  return termValue({ kind: operator, term: left, divisor: right.value, span: node.span });
}

function reportMixed(node: Binary, found: Value, context: Context): Value {
  if (found.kind === "layer-int") {
    const labels = [label(node.span), ...callLabels(context)];
    context.state.report(shapeDiagnostics.dependsOnLayer({ what: "A relation" }, ...labels));
    return failed;
  }
  const report = { operator: node.operator, found: describeKind(found.kind) };
  context.state.report(shapeDiagnostics.relationUsesReal(report, label(node.span), ...callLabels(context)));
  return failed;
}

/** A comparison of which at least one side depends on tokens. */
export function termComparison(node: Binary, left: Value, right: Value, context: Context): Value {
  const [leftTerm, rightTerm] = [toTerm(left), toTerm(right)];
  if (leftTerm === undefined || rightTerm === undefined) {
    return reportMixed(node, leftTerm === undefined ? left : right, context);
  }
  const predicate: Predicate = {
    kind: "compare",
    operator: node.operator as Comparison,
    left: leftTerm,
    right: rightTerm,
    span: node.span,
  };
  return { kind: "predicate", predicate };
}

/** `and` or `or` of conditions of which at least one depends on tokens. */
export function joinPredicates(kind: "and" | "or", left: Predicate, right: Predicate, span: Span): Predicate {
  // A constant either decides the whole or says nothing: `true and p` is p, `true or p` is true.
  const neutral = kind === "and";
  if (left.kind === "constant") return left.value === neutral ? right : left;
  if (right.kind === "constant") return right.value === neutral ? left : right;
  const parts = [left, right].flatMap((part) => (part.kind === kind ? part.parts : [part]));
  return { kind, parts, span };
}

export function negatePredicate(part: Predicate, span: Span): Predicate {
  if (part.kind === "constant") return { kind: "constant", value: !part.value, span };
  return part.kind === "not" ? part.part : { kind: "not", part, span };
}

/** How many comparisons and connectives a predicate has. */
export function predicateSize(predicate: Predicate): number {
  switch (predicate.kind) {
    case "and":
    case "or":
      return predicate.parts.reduce((sum, part) => sum + predicateSize(part), 1);
    case "not":
      return 1 + predicateSize(predicate.part);
    default:
      return 1;
  }
}

function termValue(term: Term): Value {
  return { kind: "term", term };
}
