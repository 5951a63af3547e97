/** Diagnostics as data for machines: what `--json` prints. */
import { lineColumn, type Span } from "../source/source-file.js";
import type { Diagnostic, Severity } from "./diagnostic.js";

export interface JsonPlace {
  readonly file: string;
  /** Lines and columns count from 1; the end is exclusive. */
  readonly start: { readonly line: number; readonly column: number };
  readonly end: { readonly line: number; readonly column: number };
  readonly text: string;
}

export interface JsonDiagnostic {
  readonly code: string;
  readonly severity: Severity;
  readonly message: string;
  /** The first place is the one that is wrong; further ones explain. */
  readonly places: readonly JsonPlace[];
  readonly hint?: string;
}

export function toJsonDiagnostic(diagnostic: Diagnostic): JsonDiagnostic {
  return {
    code: diagnostic.code,
    severity: diagnostic.severity,
    message: diagnostic.message,
    places: diagnostic.labels.map((label) => ({ ...toJsonSpan(label.span), text: label.text })),
    ...(diagnostic.hint === undefined ? {} : { hint: diagnostic.hint }),
  };
}

/** All diagnostics as one JSON text. */
export function renderDiagnosticsJson(diagnostics: readonly Diagnostic[]): string {
  return JSON.stringify({ diagnostics: diagnostics.map(toJsonDiagnostic) }, null, 2);
}

function toJsonSpan(span: Span) {
  return {
    file: span.file.name,
    start: lineColumn(span.file, span.start),
    end: lineColumn(span.file, span.end),
  };
}
