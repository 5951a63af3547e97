/**
 * The search for parameters that suit a device: one parameter after the other, each at every value with the others as they are.
 *
 * Parameters hardly interact (outputs and loads of a workgroup do a little), so this finds nearly what trying all combinations would,
 * in as many programs as there are values.
 */
import { defaultTuning, type Tuning, tuningValues } from "../kernels/tuning.js";

/** Medians of one program, in milliseconds. */
export interface Measured {
  readonly prefillMs: number;
  readonly decodeMs: number;
}

/** A program that a tuning gives: `key` is the same for tunings that change nothing in this model. */
export interface Candidate {
  readonly key: string;
  measure(): Promise<Measured>;
}

export interface Trial {
  readonly parameter: keyof Tuning;
  readonly value: number;
  /** Absent where the value changes nothing in this model. */
  readonly measured?: Measured;
  /** Time over that of the defaults: the mean of prefill's and decode's ratio. */
  readonly ratio: number;
  readonly taken: boolean;
}

export interface TuningReport {
  readonly defaults: Measured;
  readonly trials: readonly Trial[];
  readonly tuning: Tuning;
  /** Of the tuning that was found. */
  readonly ratio: number;
}

/** A value is taken when it is faster by more than what measurements of one program differ by. */
const leastGain = 0.03;

export async function searchTuning(
  candidate: (tuning: Tuning) => Candidate,
  parameters: readonly (keyof Tuning)[],
  onTrial: (trial: Trial) => void = () => {},
): Promise<TuningReport> {
  const first = candidate(defaultTuning);
  const defaults = await first.measure();
  const ratios = new Map([[first.key, 1]]);
  const trials: Trial[] = [];
  let tuning = defaultTuning;
  let best = 1;
  for (const parameter of parameters) {
    const others = tuningValues[parameter].filter((value) => value !== tuning[parameter]);
    for (const value of others) {
      const changed = { ...tuning, [parameter]: value };
      const { key, measure } = candidate(changed);
      const known = ratios.get(key);
      const measured = known === undefined ? await measure() : undefined;
      const ratio = measured === undefined ? known! : ratioOf(measured, defaults);
      ratios.set(key, ratio);
      const taken = measured !== undefined && ratio < best * (1 - leastGain);
      const trial = { parameter, value, ...(measured && { measured }), ratio, taken };
      trials.push(trial);
      onTrial(trial);
      if (!taken) continue;
      tuning = changed;
      best = ratio;
    }
  }
  return { defaults, trials, tuning, ratio: best };
}

function ratioOf(measured: Measured, defaults: Measured): number {
  return (measured.prefillMs / defaults.prefillMs + measured.decodeMs / defaults.decodeMs) / 2;
}
