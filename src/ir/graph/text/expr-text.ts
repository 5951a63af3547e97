/**
 * Integer expressions as text that reads back as the same tree.
 *
 * (`printExpr` of the run time is for people: it writes `a - 3` for `a + -3`.)
 */
import type { Expr } from "../../expr.js";
import { type Join, printNumber, readInfix, type TextReader } from "./reader.js";

type Call = Exclude<Expr, number | string>;

const infix: Partial<Record<Call["op"], { readonly sign: string; readonly level: number }>> = {
  le: { sign: "<=", level: 0 },
  eq: { sign: "==", level: 0 },
  add: { sign: "+", level: 1 },
  sub: { sign: "-", level: 1 },
  mul: { sign: "*", level: 2 },
  div: { sign: "div", level: 2 },
  mod: { sign: "mod", level: 2 },
};

const arities: Record<Call["op"], number | "any"> = {
  ...{ add: "any", mul: "any", min: "any", max: "any" },
  ...{ sub: 2, div: 2, mod: 2, le: 2, eq: 2, select: 3 },
};

export function printExprText(expr: Expr): string {
  if (typeof expr !== "object") return typeof expr === "number" ? printNumber(expr) : expr;
  const operator = expr.args.length >= 2 ? infix[expr.op] : undefined;
  if (operator === undefined) return `${expr.op}(${expr.args.map(printExprText).join(", ")})`;
  return expr.args
    .map((arg, index) => {
      const level = typeof arg === "object" && arg.args.length >= 2 ? (infix[arg.op]?.level ?? 3) : 3;
      // On the left only the same operator needs parentheses, since reading would join it to this one.
      const joins = index > 0 || operator.level === 0 || (typeof arg === "object" && arg.op === expr.op);
      return level < operator.level || (level === operator.level && joins)
        ? `(${printExprText(arg)})`
        : printExprText(arg);
    })
    .join(` ${operator.sign} `);
}

export function parseExprText(reader: TextReader): Expr {
  return readInfix<Expr>(reader, levels, () => {
    if (reader.accept("(")) {
      const inner = parseExprText(reader);
      reader.expect(")");
      return inner;
    }
    if (reader.peek().kind !== "name") return reader.number();
    const name = reader.read("name");
    if (!reader.accept("(")) return name;
    const args = reader.list(")", () => parseExprText(reader));
    const arity = Object.hasOwn(arities, name) ? arities[name as Call["op"]] : undefined;
    if (arity === undefined || (arity !== "any" && arity !== args.length)) {
      throw reader.error(`no function ${name} of ${args.length} arguments`);
    }
    return { op: name, args } as unknown as Expr;
  });
}

const binary =
  (op: "sub" | "div" | "mod" | "le" | "eq"): Join<Expr> =>
  (left, right) => ({ op, args: [left, right] });
const many =
  (op: "add" | "mul"): Join<Expr> =>
  (left, right, joined) => ({ op, args: [...(joined && typeof left === "object" ? left.args : [left]), right] });

const levels: readonly Readonly<Record<string, Join<Expr>>>[] = [
  { "<=": binary("le"), "==": binary("eq") },
  { "+": many("add"), "-": binary("sub") },
  { "*": many("mul"), div: binary("div"), mod: binary("mod") },
];
