import type { BinaryOp } from "../../ir/kernel/expressions.js";

/**
 * How tightly an operator binds, and how tightly its operands must bind to stand without parentheses.
 *
 * One table serves both targets. It is that of WGSL, which is stricter than C: shifts and bit operations take no unparenthesised
 * binary operands, and `&&` does not mix with `||`. Shifts never stand bare beside a comparison, because `a < b >> c` would open
 * a template list in WGSL.
 */
export interface Infix {
  readonly sign: string;
  readonly level: number;
  readonly left: number;
  readonly right: number;
}

export const levels = { any: 0, logic: 1, bits: 2, comparison: 3, sum: 5, product: 6, unary: 7, primary: 8 } as const;

const comparison = (sign: string): Infix => ({ sign, level: levels.comparison, left: levels.sum, right: levels.sum });
const bitwise = (sign: string): Infix => ({ sign, level: levels.bits, left: levels.unary, right: levels.unary });
const product = (sign: string): Infix => ({ sign, level: levels.product, left: levels.product, right: levels.unary });
const sum = (sign: string): Infix => ({ sign, level: levels.sum, left: levels.sum, right: levels.product });
const logic = (sign: string): Infix => ({
  sign,
  level: levels.logic,
  left: levels.comparison,
  right: levels.comparison,
});

/** Operators that are written between their operands; the others are calls. */
export const infixOperators: Readonly<Record<Exclude<BinaryOp, "min" | "max">, Infix>> = {
  add: sum("+"),
  sub: sum("-"),
  mul: product("*"),
  div: product("/"),
  rem: product("%"),
  eq: comparison("=="),
  ne: comparison("!="),
  lt: comparison("<"),
  le: comparison("<="),
  gt: comparison(">"),
  ge: comparison(">="),
  "bit-and": bitwise("&"),
  "bit-or": bitwise("|"),
  "bit-xor": bitwise("^"),
  shl: bitwise("<<"),
  shr: bitwise(">>"),
  and: logic("&&"),
  or: logic("||"),
};

/** Operators whose chains need no parentheses on the left: `a && b && c`. */
export const chains: ReadonlySet<BinaryOp> = new Set(["and", "or", "bit-and", "bit-or", "bit-xor"] as const);

/** Text together with how tightly it binds. */
export interface Spelled {
  readonly text: string;
  readonly level: number;
}

export const primary = (text: string): Spelled => ({ text, level: levels.primary });

/** The text, in parentheses where it binds less tightly than its place asks for. */
export function at(level: number, spelled: Spelled): string {
  return spelled.level < level ? `(${spelled.text})` : spelled.text;
}
