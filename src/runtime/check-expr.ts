import { ManifestError } from "./errors.js";
import type { Expr } from "./expr.js";
import type { Check } from "./json-shape.js";

/** Operators, and how many operands they take: two numbers are the least and the greatest. */
const arity: Readonly<Record<string, readonly [number, number]>> = {
  add: [1, Number.POSITIVE_INFINITY],
  mul: [1, Number.POSITIVE_INFINITY],
  min: [1, Number.POSITIVE_INFINITY],
  max: [1, Number.POSITIVE_INFINITY],
  sub: [2, 2],
  div: [2, 2],
  mod: [2, 2],
  le: [2, 2],
  eq: [2, 2],
  select: [3, 3],
};

/** No formula of a compiler comes near this; a hostile one must not exhaust the stack. */
const deepest = 200;

/** An expression over these symbols. */
export function expression(symbols: ReadonlySet<string>): Check<Expr> {
  const check = (value: unknown, path: string, depth: number): Expr => {
    if (typeof value === "number") {
      if (!Number.isSafeInteger(value)) throw new ManifestError(path, `${value} is no whole number`);
      return value;
    }
    if (typeof value === "string") {
      if (!symbols.has(value)) throw new ManifestError(path, `there is no symbol ${JSON.stringify(value)} here`);
      return value;
    }
    const { op, args } = (value ?? {}) as { readonly op?: unknown; readonly args?: unknown };
    if (typeof op !== "string" || !Object.hasOwn(arity, op)) throw new ManifestError(path, "is no expression");
    if (depth > deepest) throw new ManifestError(path, `nests more than ${deepest} operators`);
    const [least, most] = arity[op]!;
    if (!Array.isArray(args) || args.length < least || args.length > most) {
      throw new ManifestError(path, `${op} takes ${least === most ? least : `${least} or more`} operands`);
    }
    for (const [index, arg] of args.entries()) check(arg, `${path}.args[${index}]`, depth + 1);
    return value as Expr;
  };
  return (value, path) => check(value, path, 0);
}
