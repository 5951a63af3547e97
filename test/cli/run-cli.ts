/** Runs command lines in this process: a new one for each would cost more than most tests do. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import { main } from "../../src/cli/main.js";
import { MemoryTerminal } from "../../src/cli/terminal.js";

export interface CliResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export async function runCli(args: readonly string[], stdin?: string): Promise<CliResult> {
  const terminal = new MemoryTerminal(stdin);
  const code = await main(args, terminal);
  return { code, stdout: terminal.stdout, stderr: terminal.stderr };
}

/** A folder that is removed when the tests of the file are done. */
export function scratchFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "phdc-test-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
