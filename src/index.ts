/**
 * `phdc`: from source text to programs and packages, anywhere JavaScript runs. Files, devices and the command line are elsewhere:
 * `phdc/runtime` executes what comes out, `phdc/runtime/node` finds files and adapters, `phdc/ir` reads graphs.
 */
export { emitPackage, type PackageInput } from "./backends/host/emit-package.js";
export type { PackageFile } from "./backends/host/package-file.js";
export { type Compilation, type CompileOptions, compileSource, type Program, type Timing } from "./compile.js";
export {
  type Diagnostic,
  DiagnosticCollector,
  DiagnosticError,
  type Label,
  type Severity,
} from "./diagnostics/diagnostic.js";
export { renderDiagnosticsJson } from "./diagnostics/render-json.js";
export { renderDiagnostics } from "./diagnostics/render-terminal.js";
export { formatSource } from "./dsl/syntax/format.js";
export { type Explanation, explain } from "./explain/explain.js";
export { type ImportResult, importModel } from "./import/import-model.js";
export { type Capabilities, portableCapabilities } from "./ir/kernel/capabilities.js";
export { makeSelfTest } from "./package/make-self-test.js";
export type { Manifest } from "./runtime/manifest.js";
export type { SourceFile, Span } from "./source/source-file.js";
