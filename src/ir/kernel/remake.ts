import { unreachable } from "../../diagnostics/diagnostic.js";
import type { Expression } from "./expressions.js";
import * as make from "./make-expression.js";
import { type ScalarType, scalarOf, type VectorWidth, widthOf } from "./types.js";

/**
 * The node that the typing rules make of an expression's operands. It throws when they do not fit, and its type is the one the
 * expression should have.
 */
export function remake(expression: Expression): Expression {
  switch (expression.kind) {
    case "constant":
      return make.constant(expression.type, expression.value);
    case "local":
    case "param":
    case "builtin":
      return expression;
    case "load":
      return make.load(expression.space, expression.name, expression.type, expression.index);
    case "unary":
      return make.unary(expression.op, expression.operand);
    case "binary":
      return make.binary(expression.op, expression.left, expression.right);
    case "clamp":
      return make.clamp(expression.value, expression.low, expression.high);
    case "fma":
      return make.fma(expression.a, expression.b, expression.c);
    case "select":
      return make.select(expression.condition, expression.yes, expression.no);
    case "convert":
      return make.convert(expression.value, scalarOf(expression.type));
    case "bitcast":
      return make.bitcast(expression.value, scalarOf(expression.type));
    case "vector": {
      const scalar: ScalarType = scalarOf(expression.type);
      return make.vector(scalar, widthOf(expression.type) as VectorWidth, expression.parts);
    }
    case "extract":
      return make.extract(expression.value, expression.component);
    case "dot":
      return make.dot(expression.left, expression.right);
    case "pack":
      return make.pack(expression.format, expression.value);
    case "unpack":
      return make.unpack(expression.format, expression.value);
    case "add-halves":
      return make.addHalves(expression.format, expression.left, expression.right);
    default:
      return unreachable(expression);
  }
}
