import { findEntry, stages } from "../../diagnostics/catalogue.js";
import { usageDiagnostics } from "../../diagnostics/catalogue-usage.js";
import type { QuantizeOptions, Settings } from "../options.js";
import { exitCodes, UsageError } from "../report.js";
import type { Terminal } from "../terminal.js";

export interface ExplainOptions extends QuantizeOptions {
  /** The file to draw masks to, or true to print them as text. */
  readonly mask?: string | true;
  readonly set: Settings;
  readonly dtype: string;
  readonly json?: boolean;
}

/** `phdc explain PHD0123` documents a diagnostic; `phdc explain FILE` says what was derived from a model, and what it costs. */
export async function explainCommand(terminal: Terminal, subject: string, options: ExplainOptions): Promise<number> {
  if (/^PHD\d+$/i.test(subject)) return explainCode(terminal, subject, options.json === true);
  const { explainModel } = await import("./explain-model.js");
  return explainModel(terminal, subject, options);
}

function explainCode(terminal: Terminal, code: string, json: boolean): number {
  const entry = findEntry(code);
  if (entry === undefined) throw new UsageError(usageDiagnostics.unknownCode({ code: code.toUpperCase() }));
  const { severity = "error", title, explanation, example } = entry;
  const stage = stages.find(({ prefix }) => entry.code.startsWith(prefix))?.name ?? "";
  if (json) {
    terminal.out(`${JSON.stringify({ code: entry.code, stage, severity, title, explanation, example }, null, 2)}\n`);
    return exitCodes.ok;
  }
  const indented = example.trimEnd().replaceAll(/^/gm, "    ");
  terminal.out(
    `${entry.code}: ${title} (${severity}; ${stage})\n\n${wrap(explanation)}\n\nThis causes it:\n\n${indented}\n`,
  );
  return exitCodes.ok;
}

/** Breaks paragraphs at 100 columns. */
function wrap(text: string): string {
  return text
    .split(/\n{2,}/)
    .map((paragraph) => {
      const lines: string[] = [];
      let line = "";
      for (const word of paragraph.trim().split(/\s+/)) {
        if (line !== "" && line.length + word.length >= 100) {
          lines.push(line);
          line = word;
        } else line = line === "" ? word : `${line} ${word}`;
      }
      return [...lines, line].join("\n");
    })
    .join("\n\n");
}
