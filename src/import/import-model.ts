/** From a Hugging Face `config.json` to a model in the language: what `phdc import` does. */
import { type Diagnostic, DiagnosticCollector, DiagnosticError, InternalError } from "../diagnostics/diagnostic.js";
import { checkModel } from "../dsl/check/check-model.js";
import type { CheckedModel } from "../dsl/check/checked-model.js";
import { parseExpression, parseFile } from "../dsl/syntax/parse.js";
import { lowerModel } from "../lower/lower-model.js";
import { checkTokens } from "../passes/check-tokens.js";
import type { SourceFile, Span } from "../source/source-file.js";
import type { AttendConfig } from "./model-config.js";
import { modelName, type PrintedModel, printModel } from "./print-model.js";
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
  checkPrinted(printed, phd.attend, collector);
  return { text: collector.hasErrors ? undefined : printed.text, diagnostics: collector.diagnostics };
}

/**
 * Checks what was printed, so that import never hands out a model that does not compile. A report about the user's own predicate
 * points into `--attend`, where the user wrote it; any other would be a mistake of import itself.
 */
function checkPrinted(
  { text, predicateStart }: PrintedModel,
  attend: AttendConfig,
  collector: DiagnosticCollector,
): void {
  const found = new DiagnosticCollector();
  const file: SourceFile = { name: "the imported model", text };
  const tree = parseFile(file, found);
  const model = tree === undefined ? undefined : checkModel(tree, found);
  if (model !== undefined && attend.kind === "predicate") checkRelation(model, found);
  const { diagnostics } = found;
  if (diagnostics.length === 0) return;
  if (attend.kind !== "predicate") throw new InternalError(`import printed a model with ${diagnostics[0]!.message}`);

  const predicateEnd = predicateStart + attend.text.text.length;
  const moved = (span: Span): Span =>
    span.file === file && span.start >= predicateStart && span.end <= predicateEnd
      ? { file: attend.text, start: span.start - predicateStart, end: span.end - predicateStart }
      : span;
  for (const diagnostic of diagnostics) {
    collector.add({ ...diagnostic, labels: diagnostic.labels.map((each) => ({ ...each, span: moved(each.span) })) });
  }
}

/** What only the relation algebra sees: queries that see the future, or nothing. The library's rules are known to be sound. */
function checkRelation(model: CheckedModel, collector: DiagnosticCollector): void {
  try {
    for (const diagnostic of checkTokens(lowerModel(model))) collector.add(diagnostic);
  } catch (error) {
    if (!(error instanceof DiagnosticError)) throw error;
    for (const diagnostic of error.diagnostics) collector.add(diagnostic);
  }
}
