/** Words for what the lexer and the parser stumble over. */
import { type ILexingResult, type IRecognitionException, type IToken, tokenMatcher } from "chevrotain";
import { syntaxDiagnostics } from "../../diagnostics/catalogue-syntax.js";
import { label } from "../../diagnostics/define.js";
import type { DiagnosticCollector } from "../../diagnostics/diagnostic.js";
import { nearestName } from "../../diagnostics/suggest.js";
import type { SourceFile, Span } from "../../source/source-file.js";
import { endOfText } from "./expectations.js";
import * as t from "./tokens.js";

/** More syntax errors than this in one file are counted, not shown. */
const mostErrors = 20;

/** Of names, numbers and strings. Messages repeat them, so they must stay readable. */
const longestWord = 200;

/** Deeper brackets are refused before parsing, because the parser recurses. */
const deepestBrackets = 60;

/** What users of other languages write, and what it is called here. */
const foreignSymbols: Readonly<Record<string, string>> = {
  "&": "Write `and`.",
  "&&": "Write `and`.",
  "|": "Write `or`.",
  "||": "Write `or`.",
  "!": "Write `not`.",
  "%": "Write `mod`: the non-negative remainder.",
  "'": 'Strings stand in double quotes: `"`.',
  "“": 'Strings stand in double quotes: `"`.',
  "”": 'Strings stand in double quotes: `"`.',
  "‘": 'Strings stand in double quotes: `"`.',
  "’": 'Strings stand in double quotes: `"`.',
  "≤": "Write `<=`.",
  "≥": "Write `>=`.",
  "≠": "Write `!=`.",
  ";": "Statements need no end mark.",
  "#": "Comments start with `//`.",
  "@": "Matrix products are written `linear(x, w)`.",
};

export function reportLexing(source: SourceFile, lexed: ILexingResult, diagnostics: DiagnosticCollector): void {
  for (const error of lexed.errors.slice(0, mostErrors)) {
    const text = source.text.slice(error.offset, error.offset + error.length);
    const span = { file: source, start: error.offset, end: error.offset + error.length };
    const instead = foreignSymbols[text.trim()] ?? foreignSymbols[text[0]!];
    diagnostics.add(syntaxDiagnostics.unknownCharacter({ text, instead }, label(span)));
  }
  for (const token of lexed.tokens) {
    if (token.tokenType === t.UnclosedText) {
      diagnostics.add(syntaxDiagnostics.unclosedString({}, label(spanOf(source, token))));
    }
    if (token.image.length > longestWord) {
      const report = { length: token.image.length, limit: longestWord };
      diagnostics.add(syntaxDiagnostics.wordTooLong(report, label(spanOf(source, token))));
    }
  }
}

const closers: Readonly<Record<string, string>> = { "(": ")", "[": "]", "{": "}" };

/** Checks that brackets match and do not nest too deeply; what parses by recursion must not see a text where they do not. */
export function reportBrackets(
  source: SourceFile,
  tokens: readonly IToken[],
  diagnostics: DiagnosticCollector,
): boolean {
  const open: IToken[] = [];
  for (const token of tokens) {
    if (token.tokenType === t.LeftParen || token.tokenType === t.LeftBracket || token.tokenType === t.LeftBrace) {
      open.push(token);
      if (open.length > deepestBrackets) {
        diagnostics.add(syntaxDiagnostics.nestedTooDeeply({ limit: deepestBrackets }, label(spanOf(source, token))));
        return false;
      }
      continue;
    }
    if (token.tokenType !== t.RightParen && token.tokenType !== t.RightBracket && token.tokenType !== t.RightBrace) {
      continue;
    }
    const last = open.pop();
    if (last === undefined) {
      diagnostics.add(syntaxDiagnostics.strayBracket({ close: token.image }, label(spanOf(source, token))));
      return false;
    }
    if (closers[last.image] !== token.image) {
      reportUnclosed(source, last, token, diagnostics);
      return false;
    }
  }
  const unclosed = open.at(-1);
  if (unclosed !== undefined) reportUnclosed(source, unclosed, undefined, diagnostics);
  return unclosed === undefined;
}

function reportUnclosed(
  source: SourceFile,
  open: IToken,
  found: IToken | undefined,
  diagnostics: DiagnosticCollector,
): void {
  diagnostics.add(
    syntaxDiagnostics.unclosedBracket(
      { open: open.image, close: closers[open.image]! },
      label(spanOf(source, open), "opened here"),
      ...(found === undefined ? [] : [label(spanOf(source, found), `\`${found.image}\` closes another kind`)]),
    ),
  );
}

export function reportParsing(
  source: SourceFile,
  lexed: ILexingResult,
  errors: readonly IRecognitionException[],
  diagnostics: DiagnosticCollector,
): void {
  const { tokens } = lexed;
  const positions = new Map(tokens.map((token, index) => [token, index]));
  let shown = 0;
  let left = 0;
  let lastPosition = Number.NEGATIVE_INFINITY;
  for (const error of errors) {
    const position = positions.get(error.token) ?? tokens.length;
    // What directly follows a mistake is most often the same mistake again.
    const follows = position <= lastPosition + 1 || followsUnknownCharacter(lexed, position);
    lastPosition = position;
    if (follows) continue;
    // The message of an exception is the phrase that `expectations.ts` chose.
    if (shown++ < mostErrors) diagnostics.add(explain(source, tokens, position, error.message));
    else left++;
  }
  if (left > 0) diagnostics.add(syntaxDiagnostics.tooManyErrors({ left }));
}

function followsUnknownCharacter({ tokens, errors }: ILexingResult, position: number): boolean {
  const start = tokens[position - 1]?.endOffset ?? -1;
  const end = tokens[position]?.startOffset ?? Number.POSITIVE_INFINITY;
  return errors.some(({ offset }) => offset > start && offset < end);
}

/** Where one of these was expected, a construct was complete: what was found matters more. */
const closing: ReadonlySet<string> = new Set(["`}`", "`)`", "`]`", endOfText]);

function explain(source: SourceFile, tokens: readonly IToken[], position: number, expected: string) {
  const [previous, found] = [tokens[position - 1], tokens[position]];
  if (found === undefined) {
    const end = source.text.trimEnd().length;
    const span = { file: source, start: end, end };
    return syntaxDiagnostics.unexpectedText({ expected, found: "the end of the file" }, label(span));
  }
  const place = label(spanOf(source, found));
  const word = found.image;
  if (expected === "a name" && t.reservedWords.includes(found.tokenType)) {
    return syntaxDiagnostics.reservedWord({ word }, place);
  }
  if (t.comparisons.includes(found.tokenType) && followsComparison(tokens, position)) {
    return syntaxDiagnostics.chainedComparison({}, place);
  }
  const hint = hintFor(previous, found, expected, tokens[position + 1]);
  const report = closing.has(expected) ? { after: previous?.image } : { expected };
  return syntaxDiagnostics.unexpectedText({ ...report, found: `\`${word}\``, hint }, place);
}

function hintFor(
  previous: IToken | undefined,
  found: IToken,
  expected: string,
  next: IToken | undefined,
): string | undefined {
  if (found.tokenType === t.Assign && expected !== "a name") return "`=` gives a name its value; `==` compares.";
  if (found.tokenType === t.Use) return "Every `use` stands at the top of the file.";
  if (expected === "an expression" && found.tokenType === t.RightParen) return "Is there a comma too many?";
  if (found.tokenType === t.Identifier) return misspelled(found.image, next);
  const named = previous?.tokenType === t.Identifier;
  const valued = [t.Integer, t.Decimal, t.Text].includes(found.tokenType);
  return named && valued ? `Is there an \`=\` missing, as in \`${previous.image} = ${found.image}\`?` : undefined;
}

/** Words that something begins with; not before what makes the word a value or a call, except `forward`, which looks like one. */
const openingWords = ["param", "require", "repeat", "attend", "rotate", "index", "rule", "predict", "return", "within"];

function misspelled(word: string, next: IToken | undefined): string | undefined {
  const called = next?.tokenType === t.LeftParen;
  const nearest = nearestName(word, called ? ["forward"] : openingWords);
  return nearest === undefined ? undefined : `Did you mean \`${nearest}\`?`;
}

/** Whether an earlier comparison of the same expression stands to the left: `a < b < c`. */
function followsComparison(tokens: readonly IToken[], position: number): boolean {
  for (let index = position - 1; index >= 0; index--) {
    const token = tokens[index]!;
    if (t.comparisons.includes(token.tokenType)) return true;
    const operand =
      tokenMatcher(token, t.Name) ||
      [
        t.Integer,
        t.Decimal,
        t.Dot,
        t.Plus,
        t.Minus,
        t.Times,
        t.Slash,
        t.Div,
        t.Mod,
        t.LeftParen,
        t.RightParen,
        t.Comma,
      ].includes(token.tokenType);
    if (!operand) return false;
  }
  return false;
}

function spanOf(source: SourceFile, token: IToken): Span {
  return { file: source, start: token.startOffset, end: (token.endOffset ?? token.startOffset) + 1 };
}
