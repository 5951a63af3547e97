import type { Expression } from "../../ir/kernel/expressions.js";
import type { For } from "../../ir/kernel/statements.js";

/** What has to hold for one more round: the variable is less than the end. */
export function loopCondition({ type, variable, end }: For): Expression {
  const left: Expression = { kind: "local", type, name: variable };
  return { kind: "binary", type: "bool", op: "lt", left, right: end };
}
