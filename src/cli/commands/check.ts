import { DiagnosticCollector } from "../../diagnostics/diagnostic.js";
import { toJsonDiagnostic } from "../../diagnostics/render-json.js";
import { checkModel } from "../../dsl/check/check-model.js";
import { parseFile } from "../../dsl/syntax/parse.js";
import { readSource } from "../files.js";
import type { Settings } from "../options.js";
import { exitCodes, printDiagnostics } from "../report.js";
import type { Terminal } from "../terminal.js";

/** `phdc check FILE`: everything that is wrong with a model, at once. Says nothing about one that is right, but on stderr. */
export async function checkCommand(
  terminal: Terminal,
  path: string,
  options: { readonly set: Settings; readonly json?: boolean },
): Promise<number> {
  const collector = new DiagnosticCollector();
  const tree = parseFile(await readSource(terminal, path), collector);
  const model = tree === undefined ? undefined : checkModel(tree, collector, { set: options.set });
  const { diagnostics } = collector;
  if (options.json) {
    terminal.out(`${JSON.stringify({ diagnostics: diagnostics.map(toJsonDiagnostic) }, null, 2)}\n`);
  } else {
    printDiagnostics(terminal, diagnostics);
    if (model !== undefined) terminal.err(`${path}: ${model.name} is a valid model (K = ${model.copies})\n`);
  }
  return collector.hasErrors ? exitCodes.wrongInput : exitCodes.ok;
}
