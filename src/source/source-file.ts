/** A text that spans point into: a `.phd` file, a library file, a `config.json`, or text given on the command line. */
export interface SourceFile {
  /** The name as the user wrote it; the library's files are named `std/<file>.phd`. */
  readonly name: string;
  readonly text: string;
}

/** A half-open range of UTF-16 offsets in one file. */
export interface Span {
  readonly file: SourceFile;
  readonly start: number;
  readonly end: number;
}

export interface LineColumn {
  /** Counted from 1. */
  readonly line: number;
  /** Counted from 1, in UTF-16 units. */
  readonly column: number;
}

export function lineColumn(file: SourceFile, offset: number): LineColumn {
  const before = file.text.slice(0, offset);
  const lastBreak = before.lastIndexOf("\n");
  return { line: before.split("\n").length, column: offset - lastBreak };
}

/** `file:line:column`, the form that terminals and editors follow. */
export function describeSpan(span: Span): string {
  const { line, column } = lineColumn(span.file, span.start);
  return `${span.file.name}:${line}:${column}`;
}

/** What stands at a span, on one line: line breaks and indentation become single spaces. */
export function textOfSpan({ file, start, end }: Span): string {
  return file.text.slice(start, end).replaceAll(/\s+/g, " ");
}

/** The text of a span, short enough to stand in a sentence. */
export function excerpt(span: Span): string {
  const text = textOfSpan(span);
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}

/** The smallest span that holds both; both must lie in the same file. */
export function joinSpans(first: Span, last: Span): Span {
  return { file: first.file, start: Math.min(first.start, last.start), end: Math.max(first.end, last.end) };
}
