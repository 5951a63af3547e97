import { stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { DiagnosticError } from "../../diagnostics/diagnostic.js";
import { importModel } from "../../import/import-model.js";
import type { PhdOverrides } from "../../import/read-phd.js";
import { writeFileAtomic } from "../../runtime/node/atomic-write.js";
import { readText, unreadable } from "../files.js";
import { exitCodes, printDiagnostics } from "../report.js";
import type { Terminal } from "../terminal.js";

export interface ImportOptions {
  readonly output?: string;
  readonly variant?: string;
  readonly repeat?: number;
  readonly window?: number | "none";
  readonly windowUnit?: string;
  readonly chunk?: number | "none";
  readonly positions?: string;
  readonly attend?: string;
  readonly json?: boolean;
}

/** `phdc import DIR`: readable source from a Hugging Face folder. DIR may also be the `config.json` itself. */
export async function importCommand(terminal: Terminal, path: string, options: ImportOptions): Promise<number> {
  const file = (await isFolder(path)) ? join(path, "config.json") : path;
  const folder = basename(resolve(file, ".."));
  const config = { name: file, text: await readText(file) };
  const { text, diagnostics } = importModel(config, folder, overridesOf(options));
  if (text === undefined) throw new DiagnosticError(diagnostics);

  if (!options.json) printDiagnostics(terminal, diagnostics);
  if (options.output !== undefined && options.output !== "-") await writeFileAtomic(options.output, text);
  else if (!options.json) terminal.out(text);
  if (options.json)
    terminal.out(`${JSON.stringify({ source: text, output: options.output ?? null, diagnostics: [] }, null, 2)}\n`);
  return exitCodes.ok;
}

function overridesOf(options: ImportOptions): PhdOverrides {
  const { variant, repeat, window, windowUnit, chunk, positions, attend } = options;
  const all = { variant, repeat, window, window_unit: windowUnit, chunk, positions, attend };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    throw unreadable(path, error);
  }
}
