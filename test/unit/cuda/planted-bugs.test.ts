/** What the emulated device makes of kernels with bugs: a report that says where, or wrong numbers; of right kernels, neither. */
import { beforeAll, describe, expect, it } from "vitest";
import { interpreted } from "../wgsl/compare.js";
import { EmulatedFault, emulatedKernels, missingCompiler } from "./emulator.js";
import { planted, plantedBugs, runs } from "./planted-bugs.js";

const bugs = plantedBugs.map((bug, index) => ({ bug, ...planted(bug, `${bug.kernel.name}_bug_${index}`) }));
let device: Awaited<ReturnType<typeof emulatedKernels>>;

beforeAll(async () => {
  if (missingCompiler !== undefined) return;
  const texts = new Map(bugs.map(({ kernel, text }) => [kernel.name, text]));
  device = await emulatedKernels([...runs.keys(), ...bugs.map(({ kernel }) => kernel)], texts);
}, 120_000);

/** The largest difference from what the interpreter computes, or the fault. */
function outcome(name: string, original: (typeof plantedBugs)[number]["kernel"]): number | EmulatedFault {
  const run = runs.get(original)!();
  const expected = interpreted(original, run, 32);
  try {
    device.run(name, run);
  } catch (error) {
    if (error instanceof EmulatedFault) return error;
    throw error;
  }
  let worst = 0;
  for (const [buffer, data] of Object.entries(expected)) {
    data.forEach((value, i) => {
      const difference = Math.abs(run.buffers[buffer]![i]! - value) / (1 + Math.abs(value));
      if (!(difference <= worst)) worst = difference;
    });
  }
  return worst;
}

describe.skipIf(missingCompiler !== undefined)("the emulated device", () => {
  it.each([...runs.keys()])("finds nothing wrong with $name", (kernel) => {
    expect(outcome(kernel.name, kernel)).toBeLessThan(1e-5);
  });

  it.each(bugs)("catches $bug.about", ({ bug, kernel }) => {
    const found = outcome(kernel.name, bug.kernel);
    if (bug.caught === "by numbers") {
      expect(found).toBeGreaterThan(1e-3);
      return;
    }
    expect(found).toBeInstanceOf(EmulatedFault);
    expect((found as EmulatedFault).message).toMatch(bug.caught);
    expect((found as EmulatedFault).message).toMatch(new RegExp(`^kernel ${kernel.name}, `));
  });

  it.each([1, 2, 3])("gives the same results in any order of threads: seed %i", (seed) => {
    process.env["PHDC_EMULATED_SEED"] = String(seed);
    try {
      for (const kernel of runs.keys()) expect(outcome(kernel.name, kernel), kernel.name).toBeLessThan(1e-5);
    } finally {
      delete process.env["PHDC_EMULATED_SEED"];
    }
  });
});
