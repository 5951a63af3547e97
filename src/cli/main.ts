/**
 * The command line: `phdc COMMAND …`.
 *
 * Results go to stdout, messages to stderr. Exit codes: 0, 1 (the input is wrong), 2 (the command line is wrong). Whatever a command
 * throws ends here, as a message; nobody sees a stack trace who did not ask for one with `PHDC_DEBUG=1`.
 */
import { CommanderError } from "commander";
import { usageDiagnostics } from "../diagnostics/catalogue-usage.js";
import { createProgram } from "./program.js";
import { exitCodes, reportFailure, UsageError } from "./report.js";
import { processTerminal, type Terminal } from "./terminal.js";

/** Runs one command line and returns its exit code. */
export async function main(args: readonly string[], terminal: Terminal = processTerminal()): Promise<number> {
  const program = createProgram(terminal);
  try {
    await program.parseAsync([...args], { from: "user" });
    return program.exitCode();
  } catch (error) {
    // Help and --version were asked for and have been printed.
    if (error instanceof CommanderError && error.exitCode === 0) return exitCodes.ok;
    if (process.env["PHDC_DEBUG"] === "1") terminal.err(`${(error as Error).stack}\n`);
    return reportFailure(terminal, asUsageError(error, args), args.includes("--json"));
  }
}

function asUsageError(error: unknown, args: readonly string[]): unknown {
  if (!(error instanceof CommanderError)) return error;
  const reason = error.message.replace(/^error: /, "").replaceAll("\n", " ");
  const [command] = args;
  const known = command !== undefined && !command.startsWith("-") && error.code !== "commander.unknownCommand";
  return new UsageError(
    usageDiagnostics.commandLine({
      reason: reason === "(outputHelp)" ? "A command is needed" : reason.charAt(0).toUpperCase() + reason.slice(1),
      ...(known ? { command } : {}),
    }),
  );
}
