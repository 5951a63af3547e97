import { DiagnosticCollector, DiagnosticError } from "../../diagnostics/diagnostic.js";
import { toJsonDiagnostic } from "../../diagnostics/render-json.js";
import { checkModel } from "../../dsl/check/check-model.js";
import type { CheckedModel } from "../../dsl/check/checked-model.js";
import { parseFile } from "../../dsl/syntax/parse.js";
import { lowerModel } from "../../lower/lower-model.js";
import { checkTokens } from "../../passes/check-tokens.js";
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
  if (model !== undefined && !collector.hasErrors) checkRelations(model, collector);
  const { diagnostics } = collector;
  if (options.json) {
    terminal.out(`${JSON.stringify({ diagnostics: diagnostics.map(toJsonDiagnostic) }, null, 2)}\n`);
  } else {
    printDiagnostics(terminal, diagnostics);
    if (model !== undefined && !collector.hasErrors)
      terminal.err(`${path}: ${model.name} is a valid model (K = ${model.copies})\n`);
  }
  return collector.hasErrors ? exitCodes.wrongInput : exitCodes.ok;
}

/** The last check needs the relations of all layers at once. */
function checkRelations(model: CheckedModel, collector: DiagnosticCollector): void {
  try {
    for (const diagnostic of checkTokens(lowerModel(model))) collector.add(diagnostic);
  } catch (error) {
    if (!(error instanceof DiagnosticError)) throw error;
    for (const diagnostic of error.diagnostics) collector.add(diagnostic);
  }
}
