/** Assignments as people write them. */
import type { BinaryOp, Expression } from "../../ir/kernel/expressions.js";

const compoundSigns: Partial<Record<BinaryOp, string>> = { add: "+=", sub: "-=", mul: "*=", div: "/=" };

/** `sum = sum + x` reads better as `sum += x`. */
export function spellUpdate(place: string, value: Expression, spell: (expression: Expression) => string): string {
  if (value.kind === "binary" && value.left.type === value.type && spell(value.left) === place) {
    const sign = compoundSigns[value.op];
    if (sign !== undefined) return `${place} ${sign} ${spell(value.right)};`;
  }
  return `${place} = ${spell(value)};`;
}
