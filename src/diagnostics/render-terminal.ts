/**
 * Diagnostics as text for people.
 *
 *     error[PHD0101]: There is nothing called `hed_dim`
 *       models/tiny.phd:7:12
 *     7 |   let q = split(x, hed_dim)
 *       |                    ^^^^^^^ used here
 *     Hint: Did you mean `head_dim`?
 *
 * The first label is underlined with `^`, further ones with `-`; labels on one line share it. A place in another file, or above
 * the first one, opens a snippet of its own under its own heading.
 */
import pc from "picocolors";
import { describeSpan, lineColumn } from "../source/source-file.js";
import type { Diagnostic, Label } from "./diagnostic.js";

export interface TerminalOptions {
  /** ANSI colours; the caller decides from the terminal and `NO_COLOR`. */
  readonly color?: boolean;
}

/** A line longer than this is cut around its first label, so that a file without line breaks stays readable. */
const longestLine = 160;

/** Renders one diagnostic; the text ends without a line break. */
export function renderDiagnostic(diagnostic: Diagnostic, options: TerminalOptions = {}): string {
  const colors = pc.createColors(options.color ?? false);
  const paint = diagnostic.severity === "error" ? colors.red : colors.yellow;
  const lines = [
    `${colors.bold(paint(`${diagnostic.severity}[${diagnostic.code}]`))}${colors.bold(`: ${diagnostic.message}`)}`,
  ];
  const snippets = groupByLine(diagnostic.labels);
  // One gutter width for the whole report, so that its bars align.
  const gutter = Math.max(0, ...snippets.map((snippet) => String(snippet.line).length));
  for (const snippet of snippets) {
    lines.push(colors.dim(`  ${describeSpan(snippet.labels[0]!.span)}`));
    if (snippet.text.trim() === "") continue;
    const { text, shift } = shorten(snippet);
    lines.push(`${colors.dim(`${String(snippet.line).padStart(gutter)} |`)} ${text}`);
    for (const label of snippet.labels) {
      const primary = label === diagnostic.labels[0];
      const column = lineColumn(label.span.file, label.span.start).column - 1 - shift;
      const width = Math.max(1, Math.min(label.span.end - label.span.start, text.length - column));
      const mark = `${" ".repeat(Math.max(0, column))}${(primary ? "^" : "-").repeat(width)} ${label.text}`.trimEnd();
      lines.push(`${colors.dim(`${" ".repeat(gutter)} |`)} ${primary ? paint(mark) : colors.cyan(mark)}`);
    }
  }
  if (diagnostic.hint !== undefined) lines.push(`${colors.bold("Hint:")} ${diagnostic.hint}`);
  return lines.join("\n");
}

/** Renders all diagnostics, errors and warnings in the order given, with an empty line between them. */
export function renderDiagnostics(diagnostics: readonly Diagnostic[], options: TerminalOptions = {}): string {
  return diagnostics.map((diagnostic) => renderDiagnostic(diagnostic, options)).join("\n\n");
}

interface Snippet {
  readonly line: number;
  /** The source line, with control characters blanked so that a hostile file cannot steer the terminal. */
  readonly text: string;
  readonly labels: Label[];
}

function groupByLine(labels: readonly Label[]): Snippet[] {
  const snippets: Snippet[] = [];
  for (const label of labels) {
    const { file, start } = label.span;
    const { line } = lineColumn(file, start);
    const found = snippets.find((snippet) => snippet.line === line && snippet.labels[0]!.span.file === file);
    if (found === undefined) snippets.push({ line, text: lineText(file.text, start), labels: [label] });
    else found.labels.push(label);
  }
  return snippets;
}

function lineText(text: string, offset: number): string {
  const from = text.lastIndexOf("\n", offset - 1) + 1;
  const to = text.indexOf("\n", offset);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not reach the terminal.
  return text.slice(from, to === -1 ? undefined : to).replaceAll(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, " ");
}

function shorten(snippet: Snippet): { text: string; shift: number } {
  if (snippet.text.length <= longestLine) return { text: snippet.text.trimEnd(), shift: 0 };
  const columns = snippet.labels.map((label) => lineColumn(label.span.file, label.span.start).column - 1);
  const shift = Math.max(0, Math.min(...columns) - 40);
  return { text: snippet.text.slice(shift, shift + longestLine), shift };
}
