/**
 * Text to syntax tree.
 *
 * Every syntax error is collected; a tree comes back only for a text without any, so that later stages never meet half a rule.
 * The two limits checked here (length and bracket depth) are what keeps the recursive parser safe on hostile text.
 */
import type { CstNode, IToken } from "chevrotain";
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
const longestText = 250_000;

/** Parses a whole file: uses, definitions, models. */
export function parseFile(source: SourceFile, diagnostics: DiagnosticCollector): FileNode | undefined {
  return collect(diagnostics, (found) => {
    const parsed = parseText(source, found, "file");
    return parsed && new TreeBuilder(source, found).file(parsed.tree, parsed.comments);
  });
}

/** Parses one expression, for predicates given on the command line. */
export function parseExpression(source: SourceFile, diagnostics: DiagnosticCollector): Expression | undefined {
  return collect(diagnostics, (found) => {
    const parsed = parseText(source, found, "expression");
    return parsed && new TreeBuilder(source, found).expression(parsed.tree);
  });
}

/** A text without syntax errors, as chevrotain sees it. */
export interface ParsedText {
  readonly tree: CstNode;
  readonly tokens: readonly IToken[];
  readonly comments: readonly IToken[];
}

/** The concrete tree of a text, for the formatter; undefined if it has syntax errors, which have been reported. */
export function parseText(
  source: SourceFile,
  diagnostics: DiagnosticCollector,
  start: "file" | "expression" = "file",
): ParsedText | undefined {
  if (source.text.length > longestText) {
    const span = { file: source, start: 0, end: 0 };
    diagnostics.add(syntaxDiagnostics.fileTooLarge({ length: source.text.length, limit: longestText }, label(span)));
    return undefined;
  }
  return collect(diagnostics, (found) => {
    const lexed = lexer.tokenize(source.text);
    reportLexing(source, lexed, found);
    const bracketsMatch = reportBrackets(source, lexed.tokens, found);
    if (!bracketsMatch) return undefined;
    const { tree, errors } = parseTokens(lexed.tokens, start);
    reportParsing(source, lexed, errors, found);
    return { tree, tokens: lexed.tokens, comments: lexed.groups["comments"] ?? [] };
  });
}

/** The result, unless computing it reported errors. The caller's collector may hold errors of its own; they do not count. */
function collect<Result>(
  diagnostics: DiagnosticCollector,
  compute: (found: DiagnosticCollector) => Result | undefined,
): Result | undefined {
  const found = new DiagnosticCollector();
  const result = compute(found);
  for (const diagnostic of found.diagnostics) diagnostics.add(diagnostic);
  return found.hasErrors ? undefined : result;
}
