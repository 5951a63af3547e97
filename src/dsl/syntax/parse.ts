/**
 * Text to syntax tree.
 *
 * Every syntax error is collected; a tree comes back only for a text without any, so that later stages never meet half a rule.
 * The two limits checked here (length and bracket depth) are what keeps the recursive parser safe on hostile text.
 */
import type { CstNode, ILexingResult, IToken } from "chevrotain";
import { syntaxDiagnostics } from "../../diagnostics/catalogue-syntax.js";
import { label } from "../../diagnostics/define.js";
import { DiagnosticCollector } from "../../diagnostics/diagnostic.js";
import type { SourceFile } from "../../source/source-file.js";
import type { Expression, FileNode } from "../ast/nodes.js";
import { TreeBuilder } from "./build-tree.js";
import { parseTokens } from "./grammar.js";
import { reportBrackets, reportLexing, reportParsing } from "./report-syntax.js";
import { lexer } from "./tokens.js";

/** In UTF-16 units. The largest model of the examples has three thousand. */
const longestText = 1_000_000;

/** Parses a whole file: uses, definitions, models. */
export function parseFile(source: SourceFile, diagnostics: DiagnosticCollector): FileNode | undefined {
  return parse(source, diagnostics, "file", (tree, builder, lexed) =>
    builder.file(tree, lexed.groups["comments"] ?? []),
  );
}

/** Parses one expression, for predicates given on the command line. */
export function parseExpression(source: SourceFile, diagnostics: DiagnosticCollector): Expression | undefined {
  return parse(source, diagnostics, "expression", (tree, builder) => builder.expression(tree));
}

function parse<Result>(
  source: SourceFile,
  diagnostics: DiagnosticCollector,
  start: "file" | "expression",
  build: (tree: CstNode, builder: TreeBuilder, lexed: ILexingResult) => Result,
): Result | undefined {
  if (source.text.length > longestText) {
    const span = { file: source, start: 0, end: 0 };
    diagnostics.add(syntaxDiagnostics.fileTooLarge({ length: source.text.length, limit: longestText }, label(span)));
    return undefined;
  }
  // Errors of this text alone decide whether there is a tree; the caller's collector may hold others.
  const found = new DiagnosticCollector();
  const result = parseChecked(source, found, start, build);
  for (const diagnostic of found.diagnostics) diagnostics.add(diagnostic);
  return found.hasErrors ? undefined : result;
}

function parseChecked<Result>(
  source: SourceFile,
  diagnostics: DiagnosticCollector,
  start: "file" | "expression",
  build: (tree: CstNode, builder: TreeBuilder, lexed: ILexingResult) => Result,
): Result | undefined {
  const lexed = lexer.tokenize(source.text);
  reportLexing(source, lexed, diagnostics);
  const bracketsMatch = reportBrackets(source, lexed.tokens, diagnostics);
  if (!bracketsMatch) return undefined;
  const { tree, errors } = parseTokens(lexed.tokens as IToken[], start);
  reportParsing(source, lexed.tokens, errors, diagnostics);
  return diagnostics.hasErrors ? undefined : build(tree, new TreeBuilder(source, diagnostics), lexed);
}
