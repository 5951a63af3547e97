/** What was measured on an adapter, as a file says it. Files come from elsewhere, so everything in them is checked. */
import { defaultTuning, type Tuning, tuningValues } from "../kernels/tuning.js";
import { generator } from "../version.js";
import type { TuningReport } from "./search.js";

/** What tells adapters apart whose times differ: the hardware, and the driver that compiles for it. */
export interface TunedAdapter {
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  readonly driver: string;
}

export interface TuningFile {
  readonly format: "phdc-tuning";
  /** The compiler that measured: another one has other kernels. */
  readonly generator: string;
  readonly adapter: TunedAdapter;
  readonly tuning: Tuning;
  /** For people. */
  readonly measured: {
    readonly model: string;
    readonly defaults: TuningReport["defaults"];
    readonly ratio: number;
  };
}

export function tuningFile(adapter: TunedAdapter, model: string, report: TuningReport): TuningFile {
  const { defaults, ratio, tuning } = report;
  return { format: "phdc-tuning", generator, adapter, tuning, measured: { model, defaults, ratio } };
}

/** The tuning in a file, or why it is not taken. */
export function readTuning(text: string, adapter: TunedAdapter): Tuning | { readonly refused: string } {
  let value: Partial<TuningFile> | null;
  try {
    value = JSON.parse(text) as Partial<TuningFile> | null;
  } catch {
    return { refused: "it is not JSON" };
  }
  if (typeof value !== "object" || value?.format !== "phdc-tuning") return { refused: "it is no tuning" };
  if (value.generator !== generator) return { refused: `it was measured by ${String(value.generator)}` };
  if (!sameAdapter(value.adapter, adapter)) return { refused: "it was measured on another adapter or driver" };
  return checkedTuning(value.tuning);
}

function sameAdapter(found: Partial<TunedAdapter> | undefined, adapter: TunedAdapter): boolean {
  return Object.entries(adapter).every(([key, value]) => found?.[key as keyof TunedAdapter] === value);
}

function checkedTuning(
  found: Partial<Record<keyof Tuning, unknown>> | undefined,
): Tuning | { readonly refused: string } {
  const tuning: Partial<Record<keyof Tuning, number>> = {};
  for (const name of Object.keys(defaultTuning) as (keyof Tuning)[]) {
    const value = tuningValues[name].find((known) => known === found?.[name]);
    if (value === undefined) return { refused: `${name} is ${JSON.stringify(found?.[name])}` };
    tuning[name] = value;
  }
  return tuning as Tuning;
}
