/** Statements, one block at a time. */
import { nameDiagnostics } from "../../diagnostics/catalogue-names.js";
import { shapeDiagnostics } from "../../diagnostics/catalogue-shapes.js";
import { label } from "../../diagnostics/define.js";
import { unreachable } from "../../diagnostics/diagnostic.js";
import { nearestName } from "../../diagnostics/suggest.js";
import type { Span } from "../../source/source-file.js";
import type { Assignment, Block, Declaration, If, Predict, Statement } from "../ast/nodes.js";
import { type Context, callLabels } from "./context.js";
import { reportTwice } from "./definitions.js";
import { tensorArithmetic } from "./elementwise.js";
import { decide, evaluate } from "./evaluate.js";
import { runLayerLoop } from "./layers.js";
import { checkAgainstType } from "./parameter-types.js";
import { evaluateAttend, evaluateRotate } from "./relations.js";
import { Scope } from "./scope.js";
import { compareTypes, reportMismatch } from "./shapes.js";
import { describeValue, failed, type Value } from "./values.js";
import { fillTemplate } from "./weights.js";

/** How a block ends. */
export type Outcome =
  | { readonly kind: "continues" }
  | { readonly kind: "returned"; readonly value: Value; readonly span: Span }
  | {
      readonly kind: "predicted";
      readonly node: Predict;
      readonly value: Value;
      readonly copy: Value;
      readonly span: Span;
    };

const continues: Outcome = { kind: "continues" };

/** Runs a block in a scope of its own. */
export function runBlock(block: Block, context: Context): Outcome {
  return runStatements(block.statements, { ...context, scope: new Scope(context.scope) });
}

/** Runs statements in the scope of `context`. */
export function runStatements(statements: readonly Statement[], context: Context): Outcome {
  // `attend` and `rotate` hold from where they stand to the end of the block.
  let current = context;
  for (const [index, statement] of statements.entries()) {
    if (statement.kind === "attend") {
      current = { ...current, attend: evaluateAttend(statement, current) ?? current.attend };
      continue;
    }
    if (statement.kind === "rotate") {
      current = { ...current, rotation: evaluateRotate(statement, current) ?? current.rotation };
      continue;
    }
    const outcome = runStatement(statement, current);
    if (outcome.kind === "continues") continue;
    const next = statements[index + 1];
    if (next !== undefined) {
      const what = `Nothing runs after \`${outcome.kind === "returned" ? "return" : "predict"}\``;
      current.state.report(
        shapeDiagnostics.misplacedStatement({ what }, label(next.span), label(statement.span, "the block ends here")),
      );
    }
    return outcome;
  }
  return continues;
}

function runStatement(statement: Exclude<Statement, { kind: "attend" | "rotate" }>, context: Context): Outcome {
  switch (statement.kind) {
    case "declaration":
      runDeclaration(statement, context);
      return continues;
    case "assignment":
      runAssignment(statement, context);
      return continues;
    case "for":
      runLayerLoop(statement, context);
      return continues;
    case "within": {
      const prefix = fillTemplate(statement.prefix, context);
      return runBlock(statement.body, { ...context, prefix: `${context.prefix}${prefix ?? ""}.` });
    }
    case "if":
      return runIf(statement, context);
    case "return":
      return { kind: "returned", value: evaluate(statement.value, context), span: statement.value.span };
    case "predict":
      return {
        kind: "predicted",
        node: statement,
        copy: evaluate(statement.copy, context),
        value: evaluate(statement.value, context),
        span: statement.span,
      };
    default:
      return unreachable(statement);
  }
}

function runIf(statement: If, context: Context): Outcome {
  for (const { condition, body } of statement.branches) {
    const taken = decide(condition, context);
    // A condition that is wrong has been reported; running no branch keeps the rest quiet.
    if (taken === undefined) return continues;
    if (taken) return runBlock(body, context);
  }
  return statement.otherwise === undefined ? continues : runBlock(statement.otherwise, context);
}

function runDeclaration(statement: Declaration, context: Context): void {
  const { name } = statement;
  let value = evaluate(statement.value, context);
  if (statement.type !== undefined) {
    const placed = { value, span: statement.value.span };
    value = checkAgainstType(`\`${name.text}\``, statement.type, placed, context) ?? failed;
  }
  const before = context.scope.own(name.text);
  if (before?.span !== undefined) reportTwice(name, { text: name.text, span: before.span }, context.state);
  if (value.kind === "tensor") context.body?.name(value.op, name.text);
  context.scope.declare(name.text, { value, mutable: statement.mutable, span: name.span });
}

function runAssignment(statement: Assignment, context: Context): void {
  const { name } = statement;
  const { state } = context;
  const binding = context.scope.find(name.text);
  if (binding === undefined) {
    const nearest = nearestName(name.text, context.scope.names());
    state.report(nameDiagnostics.unknownName({ name: name.text, nearest, assigned: true }, label(name.span)));
    return;
  }
  if (!binding.mutable) {
    const declared = binding.span === undefined ? [] : [label(binding.span, "declared here")];
    state.report(nameDiagnostics.notAssignable({ name: name.text }, label(name.span), ...declared));
    return;
  }
  const value =
    statement.operator === "=" ? evaluate(statement.value, context) : increase(statement, binding.value, context);
  if (value.kind === "failed" || binding.value.kind === "failed") {
    context.scope.assign(name.text, failed);
    return;
  }
  if (!keepsType(statement, binding.value, value, binding.span, context)) return;
  if (value.kind === "tensor") context.body?.name(value.op, name.text);
  context.scope.assign(name.text, value);
}

/** `x += y`, as `x + y`. */
function increase(statement: Assignment, before: Value, context: Context): Value {
  const { name, value, span } = statement;
  const left = { kind: "name", text: name.text, span: name.span } as const;
  const sum = { kind: "binary", operator: "+", operatorSpan: span, left, right: value, span } as const;
  if (before.kind !== "tensor") return evaluate(sum, context);
  const added = evaluate(value, context);
  if (added.kind === "failed") return failed;
  return tensorArithmetic(sum, before, added, context);
}

function keepsType(
  statement: Assignment,
  before: Value,
  after: Value,
  declared: Span | undefined,
  context: Context,
): boolean {
  const labels = declared === undefined ? [] : [label(declared, `declared here as ${describeValue(before)}`)];
  if (before.kind === "tensor" && after.kind === "tensor") {
    const mismatch = compareTypes(before.op.type, after.op.type, context.state.equations);
    if (mismatch === undefined) return true;
    if (mismatch.kind === "accident") {
      reportMismatch(`\`${statement.name.text}\` keeps its shape`, mismatch, context, {
        expected: { type: before.op.type, span: declared ?? statement.name.span },
        found: { type: after.op.type, span: statement.value.span },
      });
      return false;
    }
  } else if (before.kind === after.kind) {
    return true;
  }
  const report = { name: statement.name.text, before: describeValue(before), after: describeValue(after) };
  context.state.report(
    shapeDiagnostics.variableChangesType(report, label(statement.value.span), ...labels, ...callLabels(context)),
  );
  return false;
}
