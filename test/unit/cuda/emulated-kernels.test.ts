import { describe, it } from "vitest";
import { expectAgreement, interpreted } from "../wgsl/compare.js";
import { trials } from "../wgsl/trials.js";
import { emulatedKernels, missingCompiler } from "./emulator.js";

describe.skipIf(missingCompiler !== undefined)("the emulated device", () => {
  it.each(trials().filter(({ about }) => !about.includes("subgroup")))(
    "computes $about",
    async ({ kernel, run, tolerance }) => {
      const expected = interpreted(kernel, run, 32);
      const kernels = await emulatedKernels([kernel]);
      kernels.run(kernel.name, run);
      expectAgreement(run.buffers, expected, tolerance);
    },
  );
});
