/** Errors of the run time as diagnostics. The run time is copied into packages, so it knows nothing of the catalogue. */
import type { PhdcError } from "../runtime/errors.js";
import { deviceDiagnostics } from "./catalogue-device.js";
import { packageDiagnostics } from "./catalogue-package.js";
import { weightDiagnostics } from "./catalogue-weights.js";
import type { DiagnosticConstructor, ReportedError } from "./define.js";
import { type Diagnostic, InternalError, type Label } from "./diagnostic.js";

const constructors: Readonly<Record<string, DiagnosticConstructor<ReportedError>>> = Object.fromEntries(
  Object.entries({ ...weightDiagnostics, ...deviceDiagnostics, ...packageDiagnostics }).map(([name, construct]) => [
    name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`),
    construct,
  ]),
);

/** The diagnostic of a typed error; its code in words finds the entry. */
export function diagnosticOf(error: PhdcError, ...labels: readonly Label[]): Diagnostic {
  const construct = constructors[error.code];
  if (construct === undefined) throw new InternalError(`the catalogue has no entry for the error ${error.code}`);
  return construct({ message: asSentence(error), hint: error.hint }, ...labels);
}

/** A message that begins with a word becomes a sentence; one that begins with a name of the user's keeps it as it is. */
function asSentence({ message, details }: PhdcError): string {
  const beginsWithName = Object.values(details).some(
    (name) => typeof name === "string" && name !== "" && message.startsWith(`${name} `),
  );
  if (beginsWithName) return message;
  return message.replace(/^[a-z]+(?= )/, (word) => word.charAt(0).toUpperCase() + word.slice(1));
}
