/**
 * From chevrotain's tree to ours. Runs only on texts without syntax errors, so every part of a rule is there.
 *
 * It adds the limits that a grammar cannot state: how large an integer is, and how deep an expression nests (every later stage
 * recurses over expressions, so depth is bounded here, once).
 */
import type { CstNode, IToken } from "chevrotain";
import { syntaxDiagnostics } from "../../diagnostics/catalogue-syntax.js";
import { label } from "../../diagnostics/define.js";
import { type DiagnosticCollector, InternalError } from "../../diagnostics/diagnostic.js";
import { joinSpans, type SourceFile, type Span } from "../../source/source-file.js";
import type * as ast from "../ast/nodes.js";

/** Deeper expressions are refused. Bracket nesting is bounded before parsing, by a smaller number. */
const deepestExpression = 200;

export class TreeBuilder {
  private readonly depths = new WeakMap<ast.Expression, number>();
  private reportedDepth = false;

  constructor(
    private readonly source: SourceFile,
    private readonly diagnostics: DiagnosticCollector,
  ) {}

  file(tree: CstNode, comments: readonly IToken[]): ast.FileNode {
    return {
      file: this.source,
      uses: nodes(tree, "use").map((node) => ({
        path: tokens(node, "Name")
          .map((token) => token.image)
          .join("."),
        span: this.spanOf(node),
      })),
      definitions: [
        ...nodes(tree, "relationDefinition").map((node) => this.relationDefinition(node)),
        ...nodes(tree, "functionDefinition").map((node) => this.functionDefinition(node)),
      ].sort((a, b) => a.span.start - b.span.start),
      models: nodes(tree, "model").map((node) => this.model(node)),
      comments: comments.map((token) => ({ text: token.image.trimEnd(), span: this.spanOf(token) })),
      span: { file: this.source, start: 0, end: this.source.text.length },
    };
  }

  // ── Definitions ────────────────────────────────────────────────────────────────────────────────────────────────────────

  private relationDefinition(tree: CstNode): ast.RelationDefinition {
    const [name, ...params] = tokens(tree, "Name").map((token) => this.name(token));
    return {
      kind: has(tree, "Index") ? "index" : "rule",
      name: name!,
      params,
      body: this.expression(node(tree, "expression")),
      span: this.spanOf(tree),
    };
  }

  private functionDefinition(tree: CstNode): ast.FunctionDefinition {
    return {
      kind: "fn",
      name: this.name(token(tree, "Name")),
      params: nodes(tree, "parameter").map((parameter) => ({
        name: this.name(token(parameter, "Name")),
        type: this.type(node(parameter, "type")),
        ...(has(parameter, "expression") ? { defaultValue: this.expression(node(parameter, "expression")) } : {}),
        span: this.spanOf(parameter),
      })),
      result: this.type(node(tree, "type")),
      body: has(tree, "block") ? this.block(node(tree, "block")) : this.expression(node(tree, "expression")),
      span: this.spanOf(tree),
    };
  }

  private type(tree: CstNode): ast.TypeNode {
    const span = this.spanOf(tree);
    if (has(tree, "dims")) {
      return {
        kind: "tensor-type",
        dims: this.dims(node(tree, "dims")),
        element: has(tree, "Int") ? "int" : "float",
        span,
      };
    }
    return {
      kind: "scalar-type",
      name: has(tree, "Int") ? "int" : has(tree, "Real") ? "real" : has(tree, "String") ? "string" : "bool",
      span,
    };
  }

  private dims(tree: CstNode): ast.Expression[] {
    return nodes(tree, "expression").map((dim) => this.expression(dim));
  }

  // ── Models ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

  private model(tree: CstNode): ast.ModelDeclaration {
    return {
      kind: "model",
      name: this.name(token(tree, "Name")),
      items: nodes(tree, "modelItem").flatMap((item) => this.modelItem(item)),
      span: this.spanOf(tree),
    };
  }

  /** `param a = 1, b = 2` is two items, and so is `require a, b`. */
  private modelItem(item: CstNode): ast.ModelItem[] {
    const [kind, tree] = only(item);
    switch (kind) {
      case "params":
        return nodes(tree, "param").map((param) => ({
          kind: "param",
          name: this.name(token(param, "Name")),
          ...(has(param, "expression") ? { defaultValue: this.expression(node(param, "expression")) } : {}),
          span: this.spanOf(param),
        }));
      case "requirements":
        return nodes(tree, "expression").map((condition) => ({
          kind: "require",
          condition: this.expression(condition),
          span: this.spanOf(condition),
        }));
      case "repeat":
        return [{ kind: "repeat", copies: this.expression(node(tree, "expression")), span: this.spanOf(tree) }];
      case "attend":
        return [this.attend(tree)];
      case "rotate":
        return [this.rotate(tree)];
      case "relationDefinition":
        return [this.relationDefinition(tree)];
      case "forward": {
        const [inputType, result] = nodes(tree, "type");
        return [
          {
            kind: "forward",
            input: this.name(token(tree, "Name")),
            inputType: this.type(inputType!),
            result: this.type(result!),
            body: this.block(node(tree, "block")),
            span: joinSpans(this.spanOf(token(tree, "Forward")), this.spanOf(result!)),
          },
        ];
      }
      default:
        throw new InternalError(`unhandled model item: ${kind}`);
    }
  }

  private attend(tree: CstNode): ast.AttendDeclaration {
    const [query, key] = tokens(tree, "Name");
    return {
      kind: "attend",
      query: this.name(query!),
      key: this.name(key!),
      predicate: this.expression(node(tree, "expression")),
      span: this.spanOf(tree),
    };
  }

  private rotate(tree: CstNode): ast.RotateDeclaration {
    const [rotated, pair] = tokens(tree, "Name");
    const [index, frequency] = nodes(tree, "expression");
    return {
      kind: "rotate",
      token: this.name(rotated!),
      index: this.expression(index!),
      ...(pair === undefined ? {} : { pair: { name: this.name(pair), frequency: this.expression(frequency!) } }),
      span: this.spanOf(tree),
    };
  }

  // ── Statements ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  private block(tree: CstNode): ast.Block {
    return {
      statements: nodes(tree, "statement").map((statement) => this.statement(statement)),
      span: this.spanOf(tree),
    };
  }

  private statement(statement: CstNode): ast.Statement {
    const [kind, tree] = only(statement);
    const span = this.spanOf(tree);
    switch (kind) {
      case "declaration":
        return {
          kind: "declaration",
          mutable: has(tree, "Var"),
          name: this.name(token(tree, "Name")),
          ...(has(tree, "type") ? { type: this.type(node(tree, "type")) } : {}),
          value: this.expression(node(tree, "expression")),
          span,
        };
      case "assignment":
        return {
          kind: "assignment",
          name: this.name(token(tree, "Name")),
          operator: has(tree, "PlusAssign") ? "+=" : "=",
          value: this.expression(node(tree, "expression")),
          span,
        };
      case "layerLoop":
        return {
          kind: "for",
          index: this.name(token(tree, "Name")),
          count: this.expression(node(tree, "expression")),
          ...(has(tree, "Text") ? { within: this.text(token(tree, "Text")) } : {}),
          body: this.block(node(tree, "block")),
          span,
        };
      case "within":
        return { kind: "within", prefix: this.text(token(tree, "Text")), body: this.block(node(tree, "block")), span };
      case "ifStatement": {
        const conditions = nodes(tree, "expression").map((condition) => this.expression(condition));
        const blocks = nodes(tree, "block").map((block) => this.block(block));
        const otherwise = blocks[conditions.length];
        return {
          kind: "if",
          branches: conditions.map((condition, index) => ({ condition, body: blocks[index]! })),
          ...(otherwise === undefined ? {} : { otherwise }),
          span,
        };
      }
      case "attend":
        return this.attend(tree);
      case "rotate":
        return this.rotate(tree);
      case "returnStatement":
        return { kind: "return", value: this.expression(node(tree, "expression")), span };
      case "predict": {
        const [copy, value] = nodes(tree, "expression");
        return { kind: "predict", copy: this.expression(copy!), value: this.expression(value!), span };
      }
      default:
        throw new InternalError(`unhandled statement: ${kind}`);
    }
  }

  // ── Expressions ────────────────────────────────────────────────────────────────────────────────────────────────────────

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
      left,
      right,
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
          inner,
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
      return this.nest({ ...inner, span }, inner);
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

  private text(literal: IToken): ast.StringLiteral {
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
      ...shape,
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
      ...args.map((argument) => argument.value),
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
          condition,
          values[index]!,
          whenFalse,
        ),
      values.at(-1)!,
    );
  }

  private nest<Node extends ast.Expression>(expression: Node, ...children: readonly ast.Expression[]): Node {
    const depth = 1 + Math.max(0, ...children.map((child) => this.depths.get(child) ?? 1));
    this.depths.set(expression, depth);
    if (depth > deepestExpression && !this.reportedDepth) {
      this.reportedDepth = true;
      this.diagnostics.add(syntaxDiagnostics.nestedTooDeeply({ limit: deepestExpression }, label(expression.span)));
    }
    return expression;
  }

  private name(found: IToken): ast.Name {
    return { text: found.image, span: this.spanOf(found) };
  }

  private spanOf(found: CstNode | IToken): Span {
    const location = "location" in found ? found.location : (found as IToken);
    return { file: this.source, start: location?.startOffset ?? 0, end: (location?.endOffset ?? -1) + 1 };
  }
}

// ── Reading chevrotain's tree ──────────────────────────────────────────────────────────────────────────────────────────────

function has(tree: CstNode, key: string): boolean {
  return tree.children[key] !== undefined;
}

function nodes(tree: CstNode, key: string): CstNode[] {
  return (tree.children[key] ?? []) as CstNode[];
}

function node(tree: CstNode, key: string): CstNode {
  const found = nodes(tree, key)[0];
  if (found === undefined) throw new InternalError(`the rule ${tree.name} has no ${key}`);
  return found;
}

function tokens(tree: CstNode, key: string): IToken[] {
  return (tree.children[key] ?? []) as IToken[];
}

function token(tree: CstNode, key: string): IToken {
  const found = tokens(tree, key)[0];
  if (found === undefined) throw new InternalError(`the rule ${tree.name} has no ${key}`);
  return found;
}

/** The one child of a rule that only chooses, with the rule it chose. */
function only(tree: CstNode): [string, CstNode] {
  const [entry] = Object.entries(tree.children);
  return [entry![0], entry![1][0] as CstNode];
}

/** Operators of several kinds, in the order of the text. */
function operatorsOf(tree: CstNode, keys: readonly string[]): IToken[] {
  return keys.flatMap((key) => tokens(tree, key)).sort((a, b) => a.startOffset - b.startOffset);
}
