/** The command line as a process: what ends it, and how. */
import { OutputError } from "../runtime/errors.js";
import { systemReason } from "../runtime/node/system-reason.js";
import { main } from "./main.js";
import { reportFailure } from "./report.js";
import { processTerminal } from "./terminal.js";

/** Runs the command line of this process and ends the process. */
export async function runProcess(): Promise<void> {
  const terminal = processTerminal();
  const args = process.argv.slice(2);
  // Whoever reads stdout may have seen enough: `phdc … | head` is no failure.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(0);
    const message = `The output cannot be written: ${systemReason(error)}`;
    process.exit(reportFailure(terminal, new OutputError("output-unwritable", message), false));
  });
  const fail = (error: unknown) => process.exit(reportFailure(terminal, error, args.includes("--json")));
  process.on("uncaughtException", fail);
  process.on("unhandledRejection", fail);

  const code = await main(args, terminal);
  // Drivers leave threads behind that would keep the process alive; what was written is waited for.
  await Promise.all([drained(process.stdout), drained(process.stderr)]);
  process.exit(code);
}

function drained(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => stream.write("", () => resolve()));
}
