/**
 * Elementwise expressions as text: `silu($0) * $1`, `$0 + %x`. `$j` is accumulator j.
 */
import { unreachable } from "../../../diagnostics/diagnostic.js";
import type { BinaryFunction, ElementExpr, UnaryFunction, ValueId } from "../ops.js";
import { type Join, printNumber, readInfix, type TextReader } from "./reader.js";

export const unaryFunctions: readonly UnaryFunction[] = ["silu", "gelu-tanh", "relu", "sigmoid", "tanh", "negate"];

const signs: Record<BinaryFunction, { readonly sign: string; readonly level: number }> = {
  add: { sign: "+", level: 0 },
  subtract: { sign: "-", level: 0 },
  multiply: { sign: "*", level: 1 },
};

export function printElements(expr: ElementExpr, nameOf: (value: ValueId) => string): string {
  const print = (inner: ElementExpr, level: number): string => {
    switch (inner.kind) {
      case "accumulator":
        return `$${inner.index}`;
      case "operand":
        return nameOf(inner.value);
      case "unary":
        return `${inner.function}(${print(inner.input, 0)})`;
      case "scale":
        return `scale(${print(inner.input, 0)}, ${printNumber(inner.factor)}, ${printNumber(inner.offset)})`;
      case "binary": {
        const own = signs[inner.function];
        const text = `${print(inner.left, own.level)} ${own.sign} ${print(inner.right, own.level + 1)}`;
        return own.level < level ? `(${text})` : text;
      }
      default:
        return unreachable(inner);
    }
  };
  return print(expr, 0);
}

export function parseElements(reader: TextReader, resolve: (name: string) => ValueId): ElementExpr {
  const join =
    (name: BinaryFunction): Join<ElementExpr> =>
    (left, right) => ({ kind: "binary", function: name, left, right });
  const parse = (): ElementExpr =>
    readInfix<ElementExpr>(reader, [{ "+": join("add"), "-": join("subtract") }, { "*": join("multiply") }], () => {
      if (reader.accept("(")) {
        const inner = parse();
        reader.expect(")");
        return inner;
      }
      const { kind } = reader.peek();
      if (kind === "accumulator") return { kind, index: Number(reader.read(kind).slice(1)) };
      if (kind === "value") return { kind: "operand", value: resolve(reader.read(kind)) };
      const name = reader.word([...unaryFunctions, "scale"]);
      reader.expect("(");
      const input = parse();
      if (name !== "scale") {
        reader.expect(")");
        return { kind: "unary", function: name, input };
      }
      reader.expect(",");
      const factor = reader.number();
      reader.expect(",");
      const offset = reader.number();
      reader.expect(")");
      return { kind: "scale", input, factor, offset };
    });
  return parse();
}
