/** The one place that knows where operands live. */
import { unreachable } from "../../diagnostics/diagnostic.js";
import type { Expression } from "./expressions.js";
import type { Statement } from "./statements.js";
import { type ValueType, vectorOf } from "./types.js";

const none: readonly never[] = [];

/** The direct operands of an expression, in the order they are evaluated. */
export function operandsOf(expression: Expression): readonly Expression[] {
  switch (expression.kind) {
    case "constant":
    case "local":
    case "param":
    case "builtin":
      return none;
    case "load":
      return [expression.index];
    case "unary":
      return [expression.operand];
    case "binary":
    case "dot":
    case "add-halves":
      return [expression.left, expression.right];
    case "clamp":
      return [expression.value, expression.low, expression.high];
    case "fma":
      return [expression.a, expression.b, expression.c];
    case "select":
      return [expression.condition, expression.yes, expression.no];
    case "vector":
      return expression.parts;
    case "convert":
    case "bitcast":
    case "extract":
    case "pack":
    case "unpack":
      return [expression.value];
    default:
      return unreachable(expression);
  }
}

/** The same expression with other operands; their types must be those of the old ones. */
export function mapOperands(expression: Expression, map: (operand: Expression) => Expression): Expression {
  switch (expression.kind) {
    case "constant":
    case "local":
    case "param":
    case "builtin":
      return expression;
    case "load":
      return { ...expression, index: map(expression.index) };
    case "unary":
      return { ...expression, operand: map(expression.operand) };
    case "binary":
    case "dot":
    case "add-halves":
      return { ...expression, left: map(expression.left), right: map(expression.right) };
    case "clamp":
      return { ...expression, value: map(expression.value), low: map(expression.low), high: map(expression.high) };
    case "fma":
      return { ...expression, a: map(expression.a), b: map(expression.b), c: map(expression.c) };
    case "select":
      return { ...expression, condition: map(expression.condition), yes: map(expression.yes), no: map(expression.no) };
    case "vector":
      return { ...expression, parts: expression.parts.map(map) };
    case "convert":
    case "bitcast":
    case "extract":
    case "pack":
    case "unpack":
      return { ...expression, value: map(expression.value) };
    default:
      return unreachable(expression);
  }
}

/** The expressions a statement evaluates itself; those of nested blocks are not among them. */
export function expressionsOf(statement: Statement): readonly Expression[] {
  switch (statement.kind) {
    case "let":
    case "var":
    case "assign":
    case "subgroup":
      return [statement.value];
    case "store":
      return [...(statement.when ? [statement.when] : []), statement.index, statement.value];
    case "atomic":
      return [statement.index, statement.value];
    case "if":
    case "while":
      return [statement.condition];
    case "for":
      return [statement.start, statement.end, statement.step];
    case "uniform-load":
    case "matrix-load":
      return [statement.index];
    case "prefetch":
      return [statement.from];
    case "mma":
      return [statement.a, statement.b, statement.c];
    case "async-copy":
      return [...(statement.when ? [statement.when] : []), statement.index, statement.from];
    case "registers":
    case "break":
    case "barrier":
    case "async-commit":
    case "async-wait":
    case "await-previous":
    case "release-next":
    case "comment":
      return none;
    default:
      return unreachable(statement);
  }
}

/** The blocks nested in a statement. */
function blocksOf(statement: Statement): readonly (readonly Statement[])[] {
  switch (statement.kind) {
    case "if":
      return [statement.body, statement.otherwise];
    case "for":
    case "while":
      return [statement.body];
    default:
      return none;
  }
}

/** Rewrites the expressions and blocks of a statement. */
export function mapStatement(
  statement: Statement,
  map: (expression: Expression) => Expression,
  mapBlock: (block: readonly Statement[]) => readonly Statement[],
): Statement {
  switch (statement.kind) {
    case "let":
    case "var":
    case "assign":
    case "subgroup":
      return { ...statement, value: map(statement.value) };
    case "store":
      return {
        ...statement,
        index: map(statement.index),
        value: map(statement.value),
        ...(statement.when && { when: map(statement.when) }),
      };
    case "atomic":
      return { ...statement, index: map(statement.index), value: map(statement.value) };
    case "if":
      return {
        ...statement,
        condition: map(statement.condition),
        body: mapBlock(statement.body),
        otherwise: mapBlock(statement.otherwise),
      };
    case "while":
      return { ...statement, condition: map(statement.condition), body: mapBlock(statement.body) };
    case "for":
      return {
        ...statement,
        start: map(statement.start),
        end: map(statement.end),
        step: map(statement.step),
        body: mapBlock(statement.body),
      };
    case "uniform-load":
    case "matrix-load":
      return { ...statement, index: map(statement.index) };
    case "prefetch":
      return { ...statement, from: map(statement.from) };
    case "mma":
      return { ...statement, a: map(statement.a), b: map(statement.b), c: map(statement.c) };
    case "async-copy":
      return {
        ...statement,
        index: map(statement.index),
        from: map(statement.from),
        ...(statement.when && { when: map(statement.when) }),
      };
    case "registers":
    case "break":
    case "barrier":
    case "async-commit":
    case "async-wait":
    case "await-previous":
    case "release-next":
    case "comment":
      return statement;
    default:
      return unreachable(statement);
  }
}

/** Every expression and what is inside it, operands before the whole. */
export function eachExpression(expression: Expression, visit: (expression: Expression) => void): void {
  for (const operand of operandsOf(expression)) eachExpression(operand, visit);
  visit(expression);
}

/** Every statement of a block and of the blocks inside it, outer ones first. */
export function eachStatement(block: readonly Statement[], visit: (statement: Statement) => void): void {
  for (const statement of block) {
    visit(statement);
    for (const inner of blocksOf(statement)) eachStatement(inner, visit);
  }
}

/** Every expression of every statement, nested ones included. */
export function eachExpressionIn(block: readonly Statement[], visit: (expression: Expression) => void): void {
  eachStatement(block, (statement) => {
    for (const expression of expressionsOf(statement)) eachExpression(expression, visit);
  });
}

/** The name a statement brings into scope, if any. */
export function declaredName(statement: Statement): string | undefined {
  switch (statement.kind) {
    case "let":
    case "var":
    case "registers":
    case "uniform-load":
    case "subgroup":
    case "mma":
    case "matrix-load":
      return statement.name;
    case "atomic":
      return statement.result;
    case "for":
      return statement.variable;
    default:
      return undefined;
  }
}

/** Whether invocations meet in a statement, or somewhere inside it. */
export function isConvergent(statement: Statement): boolean {
  switch (statement.kind) {
    case "barrier":
    case "uniform-load":
    case "subgroup":
    case "mma":
    case "matrix-load":
      return true;
    default:
      return blocksOf(statement).some((block) => block.some(isConvergent));
  }
}

/** The type of what a statement brings into scope; for registers, that of one element. */
export function declaredType(statement: Statement): ValueType | undefined {
  switch (statement.kind) {
    case "let":
    case "var":
    case "subgroup":
      return statement.value.type;
    case "registers":
    case "uniform-load":
    case "for":
      return statement.type;
    case "mma":
      return "vec4<f32>";
    case "matrix-load":
      return vectorOf("u32", statement.matrices);
    case "atomic":
      return "u32";
    default:
      return undefined;
  }
}
