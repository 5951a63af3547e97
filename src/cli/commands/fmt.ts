import { usageDiagnostics } from "../../diagnostics/catalogue-usage.js";
import { DiagnosticCollector, DiagnosticError } from "../../diagnostics/diagnostic.js";
import { formatSource } from "../../dsl/syntax/format.js";
import { writeFileAtomic } from "../../runtime/node/atomic-write.js";
import type { SourceFile } from "../../source/source-file.js";
import { readSource } from "../files.js";
import { exitCodes, printDiagnostics, UsageError } from "../report.js";
import type { Terminal } from "../terminal.js";

export interface FmtOptions {
  readonly write?: boolean;
  readonly check?: boolean;
}

/** `phdc fmt FILE…`: prints formatted text, writes it back, or names the files that are not formatted. */
export async function fmtCommand(terminal: Terminal, paths: readonly string[], options: FmtOptions): Promise<number> {
  if (options.write && options.check) {
    throw new UsageError(usageDiagnostics.optionsConflict({ reason: "--write and --check exclude each other" }));
  }
  if (options.write && paths.includes("-")) {
    throw new UsageError(
      usageDiagnostics.optionsConflict({ reason: "stdin cannot be written back; leave --write out" }),
    );
  }
  let exitCode: number = exitCodes.ok;
  for (const path of paths) {
    const collector = new DiagnosticCollector();
    const source = await readOrReport(terminal, path, collector);
    const formatted = source === undefined ? undefined : formatSource(source, collector);
    printDiagnostics(terminal, collector.diagnostics);
    if (source === undefined || formatted === undefined) {
      exitCode = exitCodes.wrongInput;
    } else if (options.check) {
      if (formatted === source.text) continue;
      terminal.out(`${path}\n`);
      exitCode = exitCodes.wrongInput;
    } else if (options.write) {
      if (formatted !== source.text) await writeFileAtomic(path, formatted);
    } else {
      terminal.out(formatted);
    }
  }
  return exitCode;
}

/** A file that cannot be read keeps none of the others from being formatted. */
async function readOrReport(
  terminal: Terminal,
  path: string,
  collector: DiagnosticCollector,
): Promise<SourceFile | undefined> {
  try {
    return await readSource(terminal, path);
  } catch (error) {
    if (!(error instanceof DiagnosticError)) throw error;
    for (const diagnostic of error.diagnostics) collector.add(diagnostic);
    return undefined;
  }
}
