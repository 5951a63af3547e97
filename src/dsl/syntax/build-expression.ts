/**
 * Expressions, from chevrotain's tree to ours.
 *
 * This adds the limits that a grammar cannot state: how large an integer is, and how deep an expression nests (every later stage
 * recurses over expressions, so depth is bounded here, once).
 */
import type { CstNode, IToken } from "chevrotain";
import { syntaxDiagnostics } from "../../diagnostics/catalogue-syntax.js";
import { label } from "../../diagnostics/define.js";
import type { DiagnosticCollector } from "../../diagnostics/diagnostic.js";
import { joinSpans, type SourceFile, type Span } from "../../source/source-file.js";
import type * as ast from "../ast/nodes.js";
import { has, node, nodes, operatorsOf, token, tokens } from "./read-tree.js";

/** Deeper expressions are refused. Bracket nesting is bounded before parsing, by a smaller number. */
const deepestExpression = 200;

export class ExpressionBuilder {
  private readonly depths = new WeakMap<ast.Expression, number>();
  private reportedDepth = false;

  constructor(
    protected readonly source: SourceFile,
    private readonly diagnostics: DiagnosticCollector,
  ) {}

  expression(tree: CstNode): ast.Expression {
    return this.chain(nodes(tree, "conjunction"), tokens(tree, "Or"), (part) =>
      this.chain(nodes(part, "negation"), tokens(part, "And"), (negation) => this.negation(negation)),
    );
  }

  /** Left-associative operators: `a - b - c` is `(a - b) - c`. */
  private chain(
    parts: readonly CstNode[],
    operators: readonly IToken[],
    build: (part: CstNode) => ast.Expression,
  ): ast.Expression {
    const [first, ...rest] = parts;
    let left = build(first!);
    rest.forEach((part, index) => {
      left = this.binary(operators[index]!, left, build(part));
    });
    return left;
  }

  private binary(operator: IToken, left: ast.Expression, right: ast.Expression): ast.Expression {
    return this.nest(
      {
        kind: "binary",
        operator: operator.image as ast.BinaryOperator,
        operatorSpan: this.spanOf(operator),
        left,
        right,
        span: joinSpans(left.span, right.span),
      },
      [left, right],
    );
  }

  private negation(tree: CstNode): ast.Expression {
    return this.prefixed(tokens(tree, "Not"), this.comparison(node(tree, "comparison")));
  }

  private prefixed(operators: readonly IToken[], operand: ast.Expression): ast.Expression {
    return operators.reduceRight<ast.Expression>(
      (inner, operator) =>
        this.nest(
          {
            kind: "unary",
            operator: operator.image as ast.UnaryOperator,
            operand: inner,
            span: joinSpans(this.spanOf(operator), inner.span),
          },
          [inner],
        ),
      operand,
    );
  }

  private comparison(tree: CstNode): ast.Expression {
    const operators = ["Equal", "NotEqual", "LessEqual", "GreaterEqual", "Less", "Greater"];
    return this.chain(nodes(tree, "sum"), operatorsOf(tree, operators), (sum) =>
      this.chain(nodes(sum, "product"), operatorsOf(sum, ["Plus", "Minus"]), (product) =>
        this.chain(nodes(product, "unary"), operatorsOf(product, ["Times", "Slash", "Div", "Mod"]), (unary) =>
          this.prefixed(tokens(unary, "Minus"), this.power(node(unary, "power"))),
        ),
      ),
    );
  }

  private power(tree: CstNode): ast.Expression {
    const [base, exponent] = nodes(tree, "primary");
    const left = this.primary(base!);
    if (exponent === undefined) return left;
    return this.binary(token(tree, "Caret"), left, this.prefixed(tokens(tree, "Minus"), this.primary(exponent)));
  }

  private primary(tree: CstNode): ast.Expression {
    const span = this.spanOf(tree);
    if (has(tree, "weight")) return this.weight(node(tree, "weight"));
    if (has(tree, "nameOrCall")) return this.nameOrCall(node(tree, "nameOrCall"));
    if (has(tree, "conditional")) return this.conditional(node(tree, "conditional"));
    if (has(tree, "expression")) {
      // The parentheses belong to the span, so that what is underlined reads whole.
      const inner = this.expression(node(tree, "expression"));
      return this.nest({ ...inner, span }, [inner]);
    }
    if (has(tree, "Integer")) return this.integer(token(tree, "Integer"));
    if (has(tree, "Decimal")) return { kind: "real", value: Number(token(tree, "Decimal").image), span };
    if (has(tree, "Text")) return this.text(token(tree, "Text"));
    return { kind: "boolean", value: has(tree, "True"), span };
  }

  private integer(literal: IToken): ast.Expression {
    const value = Number(literal.image);
    const span = this.spanOf(literal);
    if (Number.isSafeInteger(value)) return { kind: "integer", value, span };
    this.diagnostics.add(syntaxDiagnostics.integerTooLarge({}, label(span)));
    return { kind: "integer", value: 0, span };
  }

  protected text(literal: IToken): ast.StringLiteral {
    return { kind: "string", value: literal.image.slice(1, -1), span: this.spanOf(literal) };
  }

  private weight(tree: CstNode): ast.Expression {
    const shape = this.dims(node(tree, "dims"));
    return this.nest(
      {
        kind: "weight",
        form: has(tree, "Weight") ? "weight" : has(tree, "Bias") ? "bias" : "tensor",
        template: this.text(token(tree, "Text")),
        shape,
        span: this.spanOf(tree),
      },
      shape,
    );
  }

  private nameOrCall(tree: CstNode): ast.Expression {
    const span = this.spanOf(tree);
    const [first, member] = tokens(tree, "Name");
    if (member !== undefined) return { kind: "member", object: this.name(first!), member: this.name(member), span };
    if (!has(tree, "LeftParen")) return { kind: "name", text: first!.image, span };
    const args = nodes(tree, "argument").map(
      (argument): ast.Argument => ({
        ...(has(argument, "Name") ? { name: this.name(token(argument, "Name")) } : {}),
        value: this.expression(node(argument, "expression")),
        span: this.spanOf(argument),
      }),
    );
    return this.nest(
      { kind: "call", callee: this.name(first!), args, span },
      args.map((argument) => argument.value),
    );
  }

  private conditional(tree: CstNode): ast.Expression {
    const conditions = nodes(tree, "expression").map((condition) => this.expression(condition));
    const values = nodes(tree, "braced").map((braced) => this.expression(node(braced, "expression")));
    // The last value is the `else`; from there outwards every condition wraps what follows it.
    return conditions.reduceRight<ast.Expression>(
      (whenFalse, condition, index) =>
        this.nest(
          {
            kind: "conditional",
            condition,
            whenTrue: values[index]!,
            whenFalse,
            span: joinSpans(condition.span, whenFalse.span),
          },
          [condition, values[index]!, whenFalse],
        ),
      values.at(-1)!,
    );
  }

  private nest<Node extends ast.Expression>(expression: Node, children: readonly ast.Expression[]): Node {
    const depth = 1 + children.reduce((deepest, child) => Math.max(deepest, this.depths.get(child) ?? 1), 0);
    this.depths.set(expression, depth);
    if (depth > deepestExpression && !this.reportedDepth) {
      this.reportedDepth = true;
      this.diagnostics.add(syntaxDiagnostics.nestedTooDeeply({ limit: deepestExpression }, label(expression.span)));
    }
    return expression;
  }

  protected name(found: IToken): ast.Name {
    return { text: found.image, span: this.spanOf(found) };
  }

  protected spanOf(found: CstNode | IToken): Span {
    const location = "location" in found ? found.location : (found as IToken);
    return { file: this.source, start: location?.startOffset ?? 0, end: (location?.endOffset ?? -1) + 1 };
  }

  protected dims(tree: CstNode): ast.Expression[] {
    return nodes(tree, "expression").map((dim) => this.expression(dim));
  }
}
