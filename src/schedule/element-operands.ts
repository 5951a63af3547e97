/** From expressions over values of the graph to expressions over bindings of a kernel. */
import { unreachable } from "../diagnostics/diagnostic.js";
import type { ElementExpr, ValueId } from "../ir/graph/ops.js";
import { elementOperands } from "../ir/graph/walk.js";
import type { ElementExpression, Operand } from "../kernels/elementwise/element-expression.js";
import type { BindingSource } from "../runtime/manifest.js";
import { buffer, type Situation, type Workshop, weight } from "./step-builder.js";

export interface BoundExpression {
  readonly expression: ElementExpression;
  readonly operands: readonly Operand[];
  readonly bindings: Readonly<Record<string, BindingSource>>;
}

/**
 * Binds what an expression reads. An operand that lives where the result goes is read through the output binding, since a buffer
 * cannot be bound twice when it is written.
 *
 * @param output the buffer of the result, whose rows have `width` columns
 */
export function bindExpression(
  shop: Workshop,
  { layers }: Situation,
  expr: ElementExpr,
  output: string,
  width: number,
  prefix = "operand",
): BoundExpression {
  const operands: Operand[] = [];
  const bindings: Record<string, BindingSource> = {};
  const names = new Map<ValueId, string>();
  for (const value of new Set(elementOperands(expr))) {
    const name = `${prefix}_${Object.keys(bindings).length}`;
    if (shop.weights.has(value)) {
      const length = shop.weights.shapeOf(value)[0]!;
      operands.push({ name, of: "column", ...(length < width && { period: length }) });
      bindings[name] = weight(shop.weights.vector([value], layers).name);
      names.set(value, name);
    } else if (shop.places.bufferOf(value) === output) {
      operands.push({ name: "output", of: "element" });
      names.set(value, "output");
    } else {
      operands.push({ name, of: "element" });
      bindings[name] = buffer(shop.places.bufferOf(value));
      names.set(value, name);
    }
  }
  return { expression: renamed(expr, names), operands, bindings };
}

function renamed(expr: ElementExpr, names: ReadonlyMap<ValueId, string>): ElementExpression {
  switch (expr.kind) {
    case "accumulator":
      return expr;
    case "operand":
      return { kind: "operand", name: names.get(expr.value)! };
    case "unary":
    case "scale":
      return { ...expr, input: renamed(expr.input, names) };
    case "binary":
      return { ...expr, left: renamed(expr.left, names), right: renamed(expr.right, names) };
    default:
      return unreachable(expr);
  }
}
