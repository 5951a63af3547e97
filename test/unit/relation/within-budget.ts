import fc from "fast-check";
import { DiagnosticError } from "../../../src/diagnostics/diagnostic.js";
import { withBudget } from "../../../src/ir/relation/work.js";

/** Runs an analysis of a random relation; relations that are too costly are set aside, as the compiler does with a diagnostic. */
export function affordable<T>(compute: () => T): T {
  try {
    return withBudget({ units: 200_000, analysis: "a random relation" }, compute);
  } catch (error) {
    if (error instanceof DiagnosticError && error.diagnostics[0]?.code === "PHD0405") fc.pre(false);
    throw error;
  }
}

/** At most one relation in ten may be set aside. */
export const mostly = { maxSkipsPerRun: 0.1 } as const;
