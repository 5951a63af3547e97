/**
 * The formatter, `phdc fmt`.
 *
 * It keeps the line breaks that the author chose and settles everything else: indentation, spaces, blank lines, aligned comments and
 * aligned `=` of neighbouring rules. Working on tokens, it cannot lose a comment, and formatting twice changes nothing.
 */
import { type IToken, tokenMatcher } from "chevrotain";
import type { DiagnosticCollector } from "../../diagnostics/diagnostic.js";
import type { SourceFile } from "../../source/source-file.js";
import { type Layout, readLayout } from "./layout.js";
import { type ParsedText, parseText } from "./parse.js";
import * as t from "./tokens.js";

/** Code wider than this does not push the comments of its neighbours to the right. */
const widestAligned = 100;

/** The formatted text; undefined if the text has syntax errors, which have been reported. */
export function formatSource(source: SourceFile, diagnostics: DiagnosticCollector): string | undefined {
  const parsed = parseText(source, diagnostics);
  if (parsed === undefined) return undefined;
  const layout = readLayout(parsed.tree);
  const lines = indent(splitLines(source.text, parsed, layout), layout);
  alignDefinitions(lines);
  return printLines(lines);
}

// ── Lines ────────────────────────────────────────────────────────────────────────────────────────────────────────────────

interface Line {
  readonly tokens: readonly IToken[];
  /** With its slashes; alone on the line when there are no tokens. */
  readonly comment?: string;
  readonly blankBefore: boolean;
}

/** Breaks the text where the author did, and where a statement starts; takes back the breaks that are never wanted. */
function splitLines(text: string, { tokens, comments }: ParsedText, layout: Layout): Line[] {
  const all = [...tokens, ...comments].sort((a, b) => a.startOffset - b.startOffset);
  const lines: { tokens: IToken[]; comment?: string; blankBefore: boolean }[] = [];
  let previous: IToken | undefined;
  for (const token of all) {
    const gap = text.slice(previous === undefined ? 0 : previous.endOffset! + 1, token.startOffset);
    const breaks = gap.split("\n").length - 1;
    const current = lines.at(-1);
    const isComment = token.tokenType === t.CommentText;
    if (current === undefined || isBreak(previous!, token, breaks, current, layout)) {
      lines.push({ tokens: [], blankBefore: breaks > 1 && previous !== undefined });
    }
    const line = lines.at(-1)!;
    if (isComment) line.comment = token.image.trimEnd();
    else line.tokens.push(token);
    previous = token;
  }
  return lines;
}

function isBreak(previous: IToken, token: IToken, breaks: number, line: Line, layout: Layout): boolean {
  // Nothing can follow a comment on its line.
  if (line.comment !== undefined) return true;
  if (token.tokenType === t.CommentText) return breaks > 0;
  if (layout.elses.has(token.startOffset)) return false;
  if (layout.openBlocks.has(previous.startOffset) || layout.closeBlocks.has(token.startOffset)) return true;
  const startsStatement = layout.starts.has(token.startOffset) && previous.tokenType !== t.LeftBrace;
  return breaks > 0 || startsStatement;
}

// ── Indentation ──────────────────────────────────────────────────────────────────────────────────────────────────────────

interface IndentedLine extends Line {
  readonly indent: number;
  /** Without indentation and comment. */
  code: string;
  /** Column in `code` of an `=` that aligns with those of the neighbours. */
  readonly alignAt?: number;
}

interface OpenBracket {
  /** Of the line that the bracket stands on. */
  readonly lineIndent: number;
  /** Of the lines inside. */
  readonly contentIndent: number;
  readonly isBrace: boolean;
}

function indent(lines: readonly Line[], layout: Layout): IndentedLine[] {
  const open: OpenBracket[] = [];
  let previous: IToken | undefined;
  return lines.map((line) => {
    const amount = indentOf(line, open, previous, layout);
    const { code, alignAt, columns } = spell(line.tokens, layout);
    for (const [index, token] of line.tokens.entries()) {
      if (isOpening(token)) {
        const isLast = index === line.tokens.length - 1;
        const isBrace = token.tokenType === t.LeftBrace;
        const aligned = !isLast && !isBrace;
        const contentIndent = aligned ? amount + columns[index]! + 1 : amount + 2;
        open.push({ lineIndent: amount, contentIndent, isBrace });
      } else if (isClosing(token)) {
        open.pop();
      }
    }
    previous = line.tokens.at(-1) ?? previous;
    return { ...line, indent: amount, code, ...(alignAt === undefined ? {} : { alignAt }) };
  });
}

function indentOf(line: Line, open: readonly OpenBracket[], previous: IToken | undefined, layout: Layout): number {
  const [first] = line.tokens;
  const inner = open.at(-1);
  const base = inner?.contentIndent ?? 0;
  if (first === undefined) return base;
  if (isClosing(first)) return inner?.lineIndent ?? 0;
  const starts =
    layout.starts.has(first.startOffset) ||
    layout.elses.has(first.startOffset) ||
    previous === undefined ||
    isOpening(previous);
  if (starts || (inner !== undefined && !inner.isBrace)) return base;
  // A statement that goes on. `or` hangs, so that what it joins stands in one column.
  return base + (first.tokenType === t.Or ? 1 : 4);
}

function isOpening(token: IToken): boolean {
  return [t.LeftParen, t.LeftBracket, t.LeftBrace].includes(token.tokenType);
}

function isClosing(token: IToken): boolean {
  return [t.RightParen, t.RightBracket, t.RightBrace].includes(token.tokenType);
}

// ── Spaces ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

function spell(
  tokens: readonly IToken[],
  layout: Layout,
): { readonly code: string; readonly alignAt: number | undefined; readonly columns: readonly number[] } {
  let code = "";
  let alignAt: number | undefined;
  const columns: number[] = [];
  for (const [index, token] of tokens.entries()) {
    const [beforePrevious, previous] = [tokens[index - 2], tokens[index - 1]];
    if (previous !== undefined && needsSpace(beforePrevious, previous, token, layout)) code += " ";
    if (layout.aligned.has(token.startOffset)) alignAt = code.length;
    columns.push(code.length);
    code += token.image;
  }
  return { code, alignAt, columns };
}

function needsSpace(beforePrevious: IToken | undefined, previous: IToken, token: IToken, layout: Layout): boolean {
  const [left, right] = [previous.tokenType, token.tokenType];
  if (left === t.LeftParen || left === t.LeftBracket || left === t.Dot) return false;
  if ([t.RightParen, t.RightBracket, t.Comma, t.Colon, t.Dot].includes(right)) return false;
  if (right === t.LeftParen && layout.callees.has(previous.startOffset)) return false;
  if (left === t.LeftBrace && right === t.RightBrace) return false;
  // A minus after something that has a value subtracts; any other is a sign.
  return !(left === t.Minus && !(beforePrevious !== undefined && endsOperand(beforePrevious)));
}

function endsOperand(token: IToken): boolean {
  return (
    tokenMatcher(token, t.Name) ||
    [t.Integer, t.Decimal, t.Text, t.True, t.False, t.RightParen, t.RightBracket, t.RightBrace].includes(
      token.tokenType,
    )
  );
}

// ── Alignment ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Puts the `=` of one-line definitions on neighbouring lines into one column. */
function alignDefinitions(lines: IndentedLine[]): void {
  for (const run of runs(lines, (line) => line.alignAt !== undefined)) {
    const column = largest(run.map((line) => line.alignAt!));
    for (const line of run) {
      const at = line.alignAt!;
      line.code = `${line.code.slice(0, at)}${" ".repeat(column - at)}${line.code.slice(at)}`;
    }
  }
}

/** Not by spreading: a text may have more lines than a call may have arguments. */
function largest(values: readonly number[]): number {
  return values.reduce((most, value) => Math.max(most, value), 0);
}

/** Maximal runs of neighbouring lines, without blank lines between them, that all satisfy the condition. */
function runs(lines: readonly IndentedLine[], belongs: (line: IndentedLine) => boolean): IndentedLine[][] {
  const found: IndentedLine[][] = [];
  let current: IndentedLine[] | undefined;
  for (const line of lines) {
    if (!belongs(line)) {
      current = undefined;
    } else if (current === undefined || line.blankBefore) {
      current = [line];
      found.push(current);
    } else {
      current.push(line);
    }
  }
  return found;
}

function printLines(lines: readonly IndentedLine[]): string {
  const width = (line: IndentedLine) => line.indent + line.code.length;
  const commentColumns = new Map<IndentedLine, number>();
  const hasTrailing = (line: IndentedLine) => line.comment !== undefined && line.tokens.length > 0;
  for (const run of runs(lines, hasTrailing)) {
    const column = largest(run.map(width).filter((each) => each <= widestAligned)) + 2;
    for (const line of run) commentColumns.set(line, Math.max(column, width(line) + 2));
  }
  let text = "";
  for (const [index, line] of lines.entries()) {
    const opens = lines[index - 1]?.code.endsWith("{") && lines[index - 1]?.comment === undefined;
    const closes = line.code.startsWith("}");
    if (line.blankBefore && !opens && !closes) text += "\n";
    let printed = " ".repeat(line.indent) + line.code;
    if (line.comment !== undefined) printed = printed.padEnd(commentColumns.get(line) ?? line.indent) + line.comment;
    text += `${printed}\n`;
  }
  return text;
}
