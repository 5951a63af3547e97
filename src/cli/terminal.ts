/** Where a command reads and writes, so that tests (and other programs) can run commands without a process of their own. */
import { InternalError } from "../diagnostics/diagnostic.js";

export interface Terminal {
  /** Results. */
  out(text: string): void;
  /** Messages: errors, warnings, progress, which device was taken. */
  err(text: string): void;
  readStdin(): Promise<string>;
  /** Whether a person watches stderr: progress is shown only then. */
  readonly interactive: boolean;
  /** Whether a person reads stdout: a last line break is for them, and none of the result. */
  readonly outInteractive: boolean;
  /** Colours on stderr and on stdout. */
  readonly errColor: boolean;
  readonly outColor: boolean;
}

/** The terminal of this process. `NO_COLOR` switches colours off, `FORCE_COLOR` on, as elsewhere. */
export function processTerminal(): Terminal {
  const { env, stdout, stderr, stdin } = process;
  const colored = (isTerminal: boolean | undefined) => {
    if (env["NO_COLOR"] !== undefined && env["NO_COLOR"] !== "") return false;
    if (env["FORCE_COLOR"] !== undefined && env["FORCE_COLOR"] !== "0") return true;
    return isTerminal === true && env["TERM"] !== "dumb";
  };
  return {
    out: (text) => void stdout.write(text),
    err: (text) => void stderr.write(text),
    readStdin: async () => {
      const chunks: Buffer[] = [];
      for await (const chunk of stdin) chunks.push(chunk as Buffer);
      return Buffer.concat(chunks).toString("utf8");
    },
    interactive: stderr.isTTY === true,
    outInteractive: stdout.isTTY === true,
    errColor: colored(stderr.isTTY),
    outColor: colored(stdout.isTTY),
  };
}

/** Keeps what is written; `stdin` is what commands read. */
export class MemoryTerminal implements Terminal {
  stdout = "";
  stderr = "";
  readonly interactive = false;
  readonly outInteractive = false;
  readonly errColor = false;
  readonly outColor = false;

  constructor(readonly stdin?: string) {}

  out(text: string): void {
    this.stdout += text;
  }

  err(text: string): void {
    this.stderr += text;
  }

  async readStdin(): Promise<string> {
    if (this.stdin === undefined) throw new InternalError("this terminal has no stdin");
    return this.stdin;
  }
}
