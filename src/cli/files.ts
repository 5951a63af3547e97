/** Reading what the user names. */
import { readFile } from "node:fs/promises";
import { usageDiagnostics } from "../diagnostics/catalogue-usage.js";
import { DiagnosticError } from "../diagnostics/diagnostic.js";
import { systemReason } from "../runtime/node/system-reason.js";
import type { SourceFile } from "../source/source-file.js";
import type { Terminal } from "./terminal.js";

/** Reads a text file; `-` is stdin. */
export async function readSource(terminal: Terminal, path: string): Promise<SourceFile> {
  if (path === "-") return { name: "stdin", text: await terminal.readStdin() };
  return { name: path, text: await readText(path) };
}

export async function readText(path: string): Promise<string> {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(await readFile(path));
  } catch (error) {
    throw unreadable(path, error);
  }
}

/** A file that was named and cannot be read, in the user's terms. */
export function unreadable(path: string, error: unknown): DiagnosticError {
  return new DiagnosticError([usageDiagnostics.fileUnreadable({ path, reason: describeReason(error) })]);
}

function describeReason(error: unknown): string {
  switch ((error as NodeJS.ErrnoException).code) {
    case "ENOENT":
      return "there is no such file";
    case "ERR_ENCODING_INVALID_ENCODED_DATA":
      return "it is not UTF-8 text";
    default:
      return systemReason(error);
  }
}
