/** A whole `config.json`: parsed, every key read, ignored by the published list, or reported. */
import { importDiagnostics } from "../diagnostics/catalogue-import.js";
import { label } from "../diagnostics/define.js";
import { type Diagnostic, DiagnosticCollector } from "../diagnostics/diagnostic.js";
import type { SourceFile } from "../source/source-file.js";
import { ConfigReader, describeNode } from "./config-reader.js";
import { ignoredKeys } from "./ignored-keys.js";
import { parseJson } from "./json-node.js";
import type { ModelConfig, PhdConfig } from "./model-config.js";
import { readArchitecture } from "./read-architecture.js";
import { type PhdOverrides, readPhd } from "./read-phd.js";

export interface ConfigResult {
  /** Both undefined after an error. */
  readonly model: ModelConfig | undefined;
  readonly phd: PhdConfig | undefined;
  readonly diagnostics: readonly Diagnostic[];
}

const ignored: ReadonlySet<string> = new Set(Object.keys(ignoredKeys));

/** Understands a configuration, or says everything that is wrong with it. */
export function readConfig(file: SourceFile, overrides: PhdOverrides = {}): ConfigResult {
  const { node, diagnostics } = parseJson(file);
  const collector = new DiagnosticCollector();
  for (const diagnostic of diagnostics) collector.add(diagnostic);
  const failed = () => ({ model: undefined, phd: undefined, diagnostics: collector.diagnostics });
  if (node === undefined) return failed();
  if (node.kind !== "object") {
    collector.add(importDiagnostics.notObject({ found: describeNode(node) }, label(node.span)));
    return failed();
  }

  const config = new ConfigReader(node, collector);
  const model = readArchitecture(config);
  const phd = readPhd(config.child("phd"), overrides, collector);
  config.reportUnread(ignored);
  if (model?.sliding !== undefined && phd !== undefined && phd.attend.kind !== "vanilla") {
    const reason = `"sliding_window" is ${model.sliding.window}: it is honoured with the variant vanilla only`;
    collector.add(importDiagnostics.slidingWindowUnsupported({ reason }, label(config.place("sliding_window"))));
  }
  return collector.hasErrors ? failed() : { model, phd, diagnostics: collector.diagnostics };
}
