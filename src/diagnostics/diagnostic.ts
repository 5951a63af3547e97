import type { Span } from "../source/source-file.js";

export type Severity = "error" | "warning";

/** A place in the user's text with a few words about it. */
export interface Label {
  readonly span: Span;
  readonly text: string;
}

/**
 * One thing that is wrong (or doubtful) in what the user gave.
 *
 * Codes are listed in the catalogue, one file per stage; `phdc explain PHD0123` documents each.
 */
export interface Diagnostic {
  /** `PHD` and four digits. */
  readonly code: string;
  readonly severity: Severity;
  readonly message: string;
  /** The first label is the place; further ones are the other places that matter. Empty when there is no text to point at. */
  readonly labels: readonly Label[];
  /** A way out. */
  readonly hint?: string;
}

/** Collects diagnostics so that one run reports all of them. */
export class DiagnosticCollector {
  readonly diagnostics: Diagnostic[] = [];

  add(diagnostic: Diagnostic): void {
    this.diagnostics.push(diagnostic);
  }

  get hasErrors(): boolean {
    return this.diagnostics.some((diagnostic) => diagnostic.severity === "error");
  }
}

/** Thrown to leave a computation whose input is wrong; carries what to tell the user. Caught at the surface, never shown as a stack. */
export class DiagnosticError extends Error {
  override readonly name = "DiagnosticError";

  constructor(readonly diagnostics: readonly Diagnostic[]) {
    super(diagnostics.map((diagnostic) => `${diagnostic.code}: ${diagnostic.message}`).join("\n"));
  }
}

/** A broken invariant of the compiler itself: never the user's fault. */
export class InternalError extends Error {
  override readonly name = "InternalError";
}

/** Ends a `switch` over a union, so that a new kind fails to compile until it is handled. */
export function unreachable(value: never): never {
  throw new InternalError(`unhandled kind: ${JSON.stringify(value)}`);
}
