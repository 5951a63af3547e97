/** From anything that was thrown to what the user sees, and the exit code. */
import { type Diagnostic, DiagnosticError, InternalError } from "../diagnostics/diagnostic.js";
import { diagnosticOf } from "../diagnostics/from-error.js";
import { toJsonDiagnostic } from "../diagnostics/render-json.js";
import { renderDiagnostics } from "../diagnostics/render-terminal.js";
import { PhdcError } from "../runtime/errors.js";
import type { Terminal } from "./terminal.js";

/** Exit codes: success, the input (a model, weights, a device) is wrong, the command line is wrong. */
export const exitCodes = { ok: 0, wrongInput: 1, usage: 2 } as const;

/** A command line that cannot be carried out: exit code 2. */
export class UsageError extends DiagnosticError {
  constructor(diagnostic: Diagnostic) {
    super([diagnostic]);
  }
}

/** Prints warnings and errors on stderr. */
export function printDiagnostics(terminal: Terminal, diagnostics: readonly Diagnostic[]): void {
  if (diagnostics.length === 0) return;
  terminal.err(`${renderDiagnostics(diagnostics, { color: terminal.errColor })}\n`);
}

/** Tells the user why a command failed; with `json`, as one document on stdout. Returns the exit code. */
export function reportFailure(terminal: Terminal, error: unknown, json: boolean): number {
  if (json) {
    terminal.out(`${JSON.stringify({ diagnostics: jsonFailure(error) }, null, 2)}\n`);
  } else if (error instanceof DiagnosticError) {
    printDiagnostics(terminal, error.diagnostics);
  } else {
    printDiagnostics(terminal, [asDiagnostic(error)]);
  }
  return error instanceof UsageError ? exitCodes.usage : exitCodes.wrongInput;
}

function jsonFailure(error: unknown): readonly unknown[] {
  if (error instanceof DiagnosticError) return error.diagnostics.map(toJsonDiagnostic);
  const diagnostic = toJsonDiagnostic(asDiagnostic(error));
  return [error instanceof PhdcError ? { ...diagnostic, error: error.code, details: error.details } : diagnostic];
}

/** Anything but diagnostics and errors of the run time is a bug, told in one paragraph without a stack. */
function asDiagnostic(error: unknown): Diagnostic {
  if (error instanceof PhdcError) return diagnosticOf(error);
  const message = error instanceof Error ? error.message : String(error);
  return {
    code: "bug",
    severity: "error",
    message: `phdc broke one of its own rules: ${message.split("\n")[0]}`,
    labels: [],
    hint: `This is not your fault. Please report it with the command line and the model${
      error instanceof InternalError ? "" : `; PHDC_DEBUG=1 shows where it happened`
    }.`,
  };
}
