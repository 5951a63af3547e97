/** The body of a function that is being expanded, and its result. */
import { shapeDiagnostics } from "../../diagnostics/catalogue-shapes.js";
import { label } from "../../diagnostics/define.js";
import type { Span } from "../../source/source-file.js";
import type { FunctionDefinition } from "../ast/nodes.js";
import { type Context, callLabels } from "./context.js";
import { evaluate } from "./evaluate.js";
import { checkAgainstType } from "./parameter-types.js";
import { runBlock } from "./statements.js";
import { failed, type Value } from "./values.js";

/** `context` is that of the body: its parameters are bound. */
export function evaluateFunctionBody(definition: FunctionDefinition, context: Context): Value {
  const result = evaluateBody(definition, context);
  if (result === undefined) return failed;
  const what = `The result of \`${definition.name.text}\``;
  return checkAgainstType(what, definition.result, result, context) ?? failed;
}

function evaluateBody(
  definition: FunctionDefinition,
  context: Context,
): { readonly value: Value; readonly span: Span } | undefined {
  const { body } = definition;
  if ("kind" in body) {
    const value = evaluate(body, context);
    return value.kind === "failed" ? undefined : { value, span: body.span };
  }
  const outcome = runBlock(body, context);
  if (outcome.kind === "returned") return outcome.value.kind === "failed" ? undefined : outcome;
  if (outcome.kind === "continues") {
    const why = `so \`${definition.name.text}\` has no result`;
    const labels = [label(definition.name.span), ...callLabels(context)];
    context.state.report(
      shapeDiagnostics.missingPart({ what: "return", why, hint: "End the function with `return …`." }, ...labels),
    );
  }
  return undefined;
}
