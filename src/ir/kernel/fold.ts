import { type ArithmeticOp, arithmeticOps, type ComparisonOp, type Expression } from "./expressions.js";
import { constant } from "./make-expression.js";
import { isInteger, widthOf } from "./types.js";

/**
 * Simplifies integer arithmetic on constants, or returns nothing when there is nothing to simplify.
 *
 * Integers only: dropping a float operation could change a rounding or the sign of a zero. Results that would wrap are left to
 * the device.
 */
export function foldInteger(op: ArithmeticOp, left: Expression, right: Expression): Expression | undefined {
  if (!isInteger(left.type) || widthOf(left.type) > 1) return undefined;
  const a = left.kind === "constant" ? left.value : undefined;
  const b = right.kind === "constant" ? right.value : undefined;
  if (a !== undefined && b !== undefined) return foldConstants(op, left.type as "i32" | "u32", a, b);
  if (op === "add" && a === 0) return right;
  if ((op === "add" || op === "sub") && b === 0) return left;
  if (op === "mul" && a === 1) return right;
  if ((op === "mul" || op === "div") && b === 1) return left;
  if (op === "mul" && a === 0) return left;
  if (op === "mul" && b === 0) return right;
  return undefined;
}

function foldConstants(op: ArithmeticOp, type: "i32" | "u32", a: number, b: number): Expression | undefined {
  if ((op === "div" || op === "rem") && b === 0) return undefined;
  const exact = exactResult(op, a, b);
  const fits = exact === (type === "i32" ? exact | 0 : exact >>> 0);
  return fits ? constant(type, exact) : undefined;
}

function exactResult(op: ArithmeticOp, a: number, b: number): number {
  switch (op) {
    case "add":
      return a + b;
    case "sub":
      return a - b;
    case "mul":
      return a * b;
    case "div":
      return Math.trunc(a / b);
    case "rem":
      return a % b;
    case "min":
      return Math.min(a, b);
    case "max":
      return Math.max(a, b);
  }
}

/** Whether an operator is one that `foldInteger` takes. */
export function isArithmetic(op: string): op is ArithmeticOp {
  return arithmeticOps.some((known) => known === op);
}

/** The outcome of comparing two integer constants; nothing when one of them is not known. */
export function foldComparison(op: ComparisonOp, left: Expression, right: Expression): boolean | undefined {
  if (left.kind !== "constant" || right.kind !== "constant" || !isInteger(left.type)) return undefined;
  const [a, b] = [left.value, right.value];
  switch (op) {
    case "eq":
      return a === b;
    case "ne":
      return a !== b;
    case "lt":
      return a < b;
    case "le":
      return a <= b;
    case "gt":
      return a > b;
    case "ge":
      return a >= b;
  }
}
