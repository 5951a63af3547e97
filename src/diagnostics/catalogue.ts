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

export interface Stage {
  /** `PHD` and the first two digits of its codes. */
  readonly prefix: string;
  readonly name: string;
  /** In the order of their codes. */
  readonly entries: readonly DiagnosticEntry<never>[];
}

function stage(prefix: string, name: string, diagnostics: object): Stage {
  const entries = (Object.values(diagnostics) as DiagnosticConstructor<never>[]).map((construct) => construct.entry);
  return { prefix, name, entries: entries.sort((a, b) => (a.code < b.code ? -1 : 1)) };
}

export const stages: readonly Stage[] = [
  stage("PHD00", "Syntax", syntaxDiagnostics),
  stage("PHD01", "Names", nameDiagnostics),
  stage("PHD02", "Types and shapes", shapeDiagnostics),
  stage("PHD03", "Parameters", paramDiagnostics),
  stage("PHD04", "The attend relation", relationDiagnostics),
  stage("PHD05", "Import of config.json", importDiagnostics),
  stage("PHD06", "Weights", weightDiagnostics),
  stage("PHD07", "Devices and run time", deviceDiagnostics),
  stage("PHD08", "Packages and manifests", packageDiagnostics),
  stage("PHD09", "Usage of the command line", usageDiagnostics),
];

/** All entries, in the order of their codes. */
export const catalogue: readonly DiagnosticEntry<never>[] = stages.flatMap(({ entries }) => entries);

/** The entry of a code such as `PHD0123`, for `phdc explain`. */
export function findEntry(code: string): DiagnosticEntry<never> | undefined {
  return catalogue.find((entry) => entry.code === code.toUpperCase());
}
