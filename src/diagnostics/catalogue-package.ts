/**
 * PHD08xx: packages and manifests that cannot be trusted, and outputs that cannot be written.
 *
 * The run time throws these as typed errors, whose `code` is the name of the entry here in kebab case; their message and hint come with
 * them. `from-error.ts` brings the two together.
 */
import { defineDiagnostics, type ReportedError } from "./define.js";

export const packageDiagnostics = defineDiagnostics({
  manifestInvalid: {
    code: "PHD0801",
    title: "A manifest does not say what it must",
    explanation:
      "`manifest.json` is described by schema/manifest.schema.json. A manifest that was changed by hand or by accident is refused at the first wrong place.",
    example: "a manifest whose version is 99",
    message: (d: ReportedError) => d.message,
    hint: (d) => d.hint,
  },
  outputUnwritable: {
    code: "PHD0802",
    title: "An output cannot be written",
    explanation:
      "The system does not let phdc write where the output should go: the folder is read-only, the disk is full, or a part of the path is a file.",
    example: "phdc import model -o /proc/model.phd",
    message: (d: ReportedError) => d.message,
    hint: (d) => d.hint,
  },
  outputExists: {
    code: "PHD0803",
    title: "The output folder holds other files",
    explanation:
      "A package replaces an earlier package or an empty folder, and nothing else, so that no file is lost by a slip.",
    example: "phdc compile model.phd -o ~",
    message: (d: ReportedError) => d.message,
    hint: (d) => d.hint,
  },
});
