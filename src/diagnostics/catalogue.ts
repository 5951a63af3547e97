/**
 * Every diagnostic of phdc, by stage. The first two digits of a code are its stage.
 *
 * To add one: write its entry in the file of its stage. To add a stage: write its `catalogue-<stage>.ts` and list it here.
 */
import { deviceDiagnostics } from "./catalogue-device.js";
import { importDiagnostics } from "./catalogue-import.js";
import { nameDiagnostics } from "./catalogue-names.js";
import { packageDiagnostics } from "./catalogue-package.js";
import { paramDiagnostics } from "./catalogue-params.js";
import { relationDiagnostics } from "./catalogue-relation.js";
import { shapeDiagnostics } from "./catalogue-shapes.js";
import { syntaxDiagnostics } from "./catalogue-syntax.js";
import { usageDiagnostics } from "./catalogue-usage.js";
import { weightDiagnostics } from "./catalogue-weights.js";
import type { DiagnosticConstructor, DiagnosticEntry } from "./define.js";

export const stages = [
  { prefix: "PHD00", name: "Syntax", diagnostics: syntaxDiagnostics },
  { prefix: "PHD01", name: "Names", diagnostics: nameDiagnostics },
  { prefix: "PHD02", name: "Types and shapes", diagnostics: shapeDiagnostics },
  { prefix: "PHD03", name: "Parameters", diagnostics: paramDiagnostics },
  { prefix: "PHD04", name: "The attend relation", diagnostics: relationDiagnostics },
  { prefix: "PHD05", name: "Import of config.json", diagnostics: importDiagnostics },
  { prefix: "PHD06", name: "Weights", diagnostics: weightDiagnostics },
  { prefix: "PHD07", name: "Devices and run time", diagnostics: deviceDiagnostics },
  { prefix: "PHD08", name: "Packages and manifests", diagnostics: packageDiagnostics },
  { prefix: "PHD09", name: "Usage of the command line", diagnostics: usageDiagnostics },
] as const;

/** All entries, in the order of their codes. */
export const catalogue: readonly DiagnosticEntry<never>[] = stages
  .flatMap((stage) => Object.values(stage.diagnostics) as DiagnosticConstructor<never>[])
  .map((construct) => construct.entry)
  .sort((a, b) => (a.code < b.code ? -1 : 1));

/** The entry of a code such as `PHD0123`, for `phdc explain`. */
export function findEntry(code: string): DiagnosticEntry<never> | undefined {
  return catalogue.find((entry) => entry.code === code.toUpperCase());
}
