/** From a Hugging Face `config.json` to a model in the language: what `phdc import` does. */
import { type Diagnostic, DiagnosticCollector } from "../diagnostics/diagnostic.js";
import { parseExpression } from "../dsl/syntax/parse.js";
import type { SourceFile } from "../source/source-file.js";
import { modelName, printModel } from "./print-model.js";
import { readConfig } from "./read-config.js";
import type { PhdOverrides } from "./read-phd.js";

export interface ImportResult {
  /** The `.phd` text; undefined after an error. */
  readonly text: string | undefined;
  readonly diagnostics: readonly Diagnostic[];
}

/** Imports a configuration. `folder` is the name of its folder: the model is named after it. */
export function importModel(config: SourceFile, folder: string, overrides: PhdOverrides = {}): ImportResult {
  const { model, phd, diagnostics } = readConfig(config, overrides);
  const collector = new DiagnosticCollector();
  for (const diagnostic of diagnostics) collector.add(diagnostic);
  if (overrides.attend !== undefined) parseExpression({ name: "--attend", text: overrides.attend }, collector);
  if (model === undefined || phd === undefined || collector.hasErrors) {
    return { text: undefined, diagnostics: collector.diagnostics };
  }
  const printed = printModel(modelName(folder), `Imported from ${folder}/config.json`, model, phd);
  return { text: printed.text, diagnostics: collector.diagnostics };
}
