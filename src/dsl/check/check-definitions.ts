/**
 * Names in definitions that nothing calls.
 *
 * Rules and functions are checked where they are expanded, with the shapes and numbers they get there. This walk finds misspelled names
 * in those of the user's own file that are never expanded, and in branches that these parameters never take.
 */
import { nameDiagnostics } from "../../diagnostics/catalogue-names.js";
import { label } from "../../diagnostics/define.js";
import { nearestName } from "../../diagnostics/suggest.js";
import type { Block, Definition, Expression, FileNode, ModelDeclaration, Name, TypeNode } from "../ast/nodes.js";
import { builtinNames } from "./builtin-names.js";
import type { CheckState } from "./context.js";
import { type Definitions, reportTwice } from "./definitions.js";

/** Names that mean something everywhere. */
const everywhere = ["K", "pi", "tokens", "positions"];

export function checkDefinitions(
  file: FileNode,
  model: ModelDeclaration | undefined,
  definitions: Definitions,
  state: CheckState,
): void {
  const items = model?.items ?? [];
  const params = items.flatMap((item) => (item.kind === "param" ? [item.name.text] : []));
  const walker = new NameWalker(definitions, state);
  for (const definition of file.definitions) walker.definition(definition, everywhere);
  for (const item of items) {
    if (item.kind === "index" || item.kind === "rule") walker.definition(item, [...everywhere, ...params]);
    if (item.kind === "forward") walker.block(item.body, new Set([...everywhere, ...params, item.input.text]));
  }
}

class NameWalker {
  constructor(
    private readonly definitions: Definitions,
    private readonly state: CheckState,
  ) {}

  definition(definition: Definition, outer: readonly string[]): void {
    const known = new Set(outer);
    if (definition.kind !== "fn") {
      this.declareParams(definition.params, known);
      this.expression(definition.body, known);
      return;
    }
    this.declareParams(
      definition.params.map((param) => param.name),
      known,
    );
    for (const param of definition.params) {
      for (const name of freeDims(param.type)) known.add(name);
      if (param.defaultValue !== undefined) this.expression(param.defaultValue, known);
    }
    if ("kind" in definition.body) this.expression(definition.body, known);
    else this.block(definition.body, known);
  }

  private declareParams(params: readonly Name[], known: Set<string>): void {
    const seen = new Map<string, Name>();
    for (const param of params) {
      const before = seen.get(param.text);
      if (before !== undefined) reportTwice(param, before, this.state);
      seen.set(param.text, param);
      known.add(param.text);
    }
  }

  block(block: Block, outer: ReadonlySet<string>): void {
    const known = new Set(outer);
    for (const statement of block.statements) {
      switch (statement.kind) {
        case "declaration":
          this.expression(statement.value, known);
          known.add(statement.name.text);
          break;
        case "assignment":
          this.name(statement.name, known, true);
          this.expression(statement.value, known);
          break;
        case "for":
          this.expression(statement.count, known);
          this.block(statement.body, new Set([...known, statement.index.text]));
          break;
        case "within":
          this.block(statement.body, known);
          break;
        case "if":
          for (const branch of statement.branches) {
            this.expression(branch.condition, known);
            this.block(branch.body, known);
          }
          if (statement.otherwise !== undefined) this.block(statement.otherwise, known);
          break;
        case "attend":
          this.expression(statement.predicate, new Set([...known, statement.query.text, statement.key.text]));
          break;
        case "rotate":
          this.expression(statement.index, new Set([...known, statement.token.text]));
          if (statement.pair !== undefined) {
            this.expression(statement.pair.frequency, new Set([...known, statement.pair.name.text]));
          }
          break;
        case "return":
          this.expression(statement.value, known);
          break;
        case "predict":
          this.expression(statement.copy, known);
          this.expression(statement.value, known);
          break;
      }
    }
  }

  private expression(expression: Expression, known: ReadonlySet<string>): void {
    switch (expression.kind) {
      case "name":
        this.name(expression, known);
        break;
      case "member":
        this.name(expression.object, known);
        break;
      case "call":
        this.callee(expression.callee, known);
        for (const argument of expression.args) this.expression(argument.value, known);
        break;
      case "weight":
        for (const dim of expression.shape) this.expression(dim, known);
        break;
      case "unary":
        this.expression(expression.operand, known);
        break;
      case "binary":
        this.expression(expression.left, known);
        this.expression(expression.right, known);
        break;
      case "conditional":
        this.expression(expression.condition, known);
        this.expression(expression.whenTrue, known);
        this.expression(expression.whenFalse, known);
        break;
    }
  }

  private name(name: Name, known: ReadonlySet<string>, assigned = false): void {
    if (known.has(name.text) || this.definitions.find(name, this.state) !== undefined) return;
    const nearest = nearestName(name.text, known);
    this.state.report(nameDiagnostics.unknownName({ name: name.text, nearest, assigned }, label(name.span)));
  }

  private callee(callee: Name, known: ReadonlySet<string>): void {
    // A value that is called is reported where it is evaluated.
    if (known.has(callee.text)) return;
    if (builtinNames.has(callee.text) || this.definitions.find(callee, this.state) !== undefined) return;
    const nearest = nearestName(callee.text, [...builtinNames, ...this.definitions.names()]);
    const library = this.definitions.libraryThatDefines(callee.text);
    this.state.report(nameDiagnostics.unknownFunction({ name: callee.text, nearest, library }, label(callee.span)));
  }
}

/** The names of a parameter's type that stand for whatever the argument has there. */
function freeDims(type: TypeNode): string[] {
  return type.kind === "tensor-type" ? type.dims.flatMap((dim) => (dim.kind === "name" ? [dim.text] : [])) : [];
}
