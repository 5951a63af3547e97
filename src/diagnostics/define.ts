/**
 * How a stage declares what can go wrong in it.
 *
 * Each stage has one `catalogue-<stage>.ts`, which calls `defineDiagnostics` with its entries. The result holds one typed
 * constructor per entry, so a code is written once, in its entry, and a report cannot forget what its message needs:
 *
 *     throw new DiagnosticError([weights.missingTensor({ name, nearest }, label(span, "declared here"))]);
 *
 * `catalogue.ts` lists the stages; documentation, `explain` and the tests read it.
 */

import type { Span } from "../source/source-file.js";
import type { Diagnostic, Label, Severity } from "./diagnostic.js";

/** One thing that can be wrong. `message` and `hint` get the data of the report. */
export interface DiagnosticEntry<Data> {
  /** `PHD` and four digits; the first two say the stage. Never reused for something else. */
  readonly code: `PHD${string}`;
  /** Error unless said otherwise. */
  readonly severity?: Severity;
  /** A few words that hold for every report of this code; the heading of its page. */
  readonly title: string;
  /** The long explanation, in paragraphs: what the rule is, why it holds, what to do. */
  readonly explanation: string;
  /** The smallest text (`.phd`, JSON or a command line) that causes the report. */
  readonly example: string;
  /** The one line that opens a report. */
  readonly message: (data: Data) => string;
  /** A way out, where there is one that fits this case. */
  readonly hint?: (data: Data) => string | undefined;
}

/** Makes the report of one entry. The first label is the place; the others are places that matter too. */
export interface DiagnosticConstructor<Data> {
  (data: Data, ...labels: readonly Label[]): Diagnostic;
  readonly entry: DiagnosticEntry<never>;
}

/** What a constructor takes for an entry whose message needs nothing. */
type Given<Data> = unknown extends Data ? Readonly<Record<string, never>> : Data;

export type DiagnosticSet<AllData> = { readonly [Name in keyof AllData]: DiagnosticConstructor<Given<AllData[Name]>> };

/** Turns the entries of a stage into typed constructors of the same names. The parameter of each `message` states its data. */
export function defineDiagnostics<AllData extends object>(
  entries: {
    readonly [Name in keyof AllData]: DiagnosticEntry<AllData[Name]>;
  },
): DiagnosticSet<AllData> {
  const all = Object.entries(entries) as [string, DiagnosticEntry<never>][];
  const constructors = all.map(([name, entry]) => {
    const construct = (data: never, ...labels: readonly Label[]): Diagnostic => {
      const hint = entry.hint?.(data);
      return {
        code: entry.code,
        severity: entry.severity ?? "error",
        message: entry.message(data),
        labels,
        ...(hint === undefined ? {} : { hint }),
      };
    };
    return [name, Object.assign(construct, { entry })];
  });
  return Object.fromEntries(constructors) as DiagnosticSet<AllData>;
}

/** A place with a few words about it. */
export function label(span: Span, text = ""): Label {
  return { span, text };
}

/** The words of an error of the run time, for the entries that only number and explain such errors. */
export interface ReportedError {
  readonly message: string;
  readonly hint?: string | undefined;
}
