import { describe, expect, it } from "vitest";
import { defaultTuning, type Tuning, tuningValues } from "../../../src/kernels/tuning.js";
import { type Measured, searchTuning } from "../../../src/tune/search.js";

/** A device whose times follow from the tuning. */
function device(time: (tuning: Tuning) => number, keyOf: (tuning: Tuning) => string = JSON.stringify) {
  const measured: Tuning[] = [];
  const candidate = (tuning: Tuning) => ({
    key: keyOf(tuning),
    measure: async (): Promise<Measured> => {
      measured.push(tuning);
      return { prefillMs: 10, decodeMs: time(tuning) };
    },
  });
  return { candidate, measured };
}

const all = Object.keys(tuningValues) as (keyof Tuning)[];

describe("the search for a tuning", () => {
  it("finds the fastest value of every parameter that matters, and leaves the others", async () => {
    const { candidate } = device(({ skinnyOutputs, queryRows }) => 8 / skinnyOutputs + queryRows / 8);
    const { tuning, ratio, defaults } = await searchTuning(candidate, all);
    expect(tuning).toEqual({ ...defaultTuning, skinnyOutputs: 8, queryRows: 8 });
    expect(defaults).toEqual({ prefillMs: 10, decodeMs: 10 });
    expect(ratio).toBeCloseTo((1 + 2 / 10) / 2);
  });

  it("keeps the defaults where nothing is faster by more than noise", async () => {
    const { candidate } = device((tuning) => (tuning === defaultTuning ? 10 : 9.8));
    const { tuning, trials } = await searchTuning(candidate, all);
    expect(tuning).toBe(defaultTuning);
    expect(trials.some(({ taken }) => taken)).toBe(false);
  });

  it("measures a program once, also where several tunings give it", async () => {
    const { candidate, measured } = device(
      () => 10,
      ({ skinnyRows }) => String(skinnyRows),
    );
    const { trials } = await searchTuning(candidate, all);
    expect(measured.map(({ skinnyRows }) => skinnyRows).sort((a, b) => a - b)).toEqual([4, 8, 16]);
    expect(trials.filter(({ measured: times }) => times !== undefined).length).toBe(2);
  });

  it("tries every other value of the parameters it is given, and of no others, and tells each as it comes", async () => {
    const told: string[] = [];
    const { candidate } = device(() => 10);
    const { trials } = await searchTuning(candidate, ["skinnyOutputs"], ({ parameter, value }) =>
      told.push(`${parameter} ${value}`),
    );
    expect(told).toEqual(["skinnyOutputs 1", "skinnyOutputs 2", "skinnyOutputs 8"]);
    expect(trials.length).toBe(3);
  });

  it("counts prefill as much as decode", async () => {
    const candidate = (tuning: Tuning) => ({
      key: JSON.stringify(tuning),
      measure: async () => ({
        prefillMs: tuning.queryRows === 8 ? 300 : 100,
        decodeMs: tuning.queryRows === 8 ? 0.5 : 1,
      }),
    });
    const { tuning } = await searchTuning(candidate, ["queryRows"]);
    expect(tuning.queryRows).toBe(64);
  });
});
