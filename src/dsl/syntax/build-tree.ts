/** From chevrotain's tree to ours. Runs only on texts without syntax errors, so every part of a rule is there. */
import type { CstNode, IToken } from "chevrotain";
import { InternalError } from "../../diagnostics/diagnostic.js";
import { joinSpans } from "../../source/source-file.js";
import type * as ast from "../ast/nodes.js";
import { ExpressionBuilder } from "./build-expression.js";
import { has, node, nodes, only, token, tokens } from "./read-tree.js";

export class TreeBuilder extends ExpressionBuilder {
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
}
