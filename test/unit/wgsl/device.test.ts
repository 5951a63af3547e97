import { beforeAll, describe, expect, it } from "vitest";
import { expectAgreement, interpreted } from "./compare.js";
import { runInDeno } from "./deno.js";
import { openDevice, runOnDevice, type TestDevice } from "./run-on-device.js";
import { trials } from "./trials.js";

describe("Dawn runs emitted kernels like the interpreter", () => {
  let device: TestDevice;
  beforeAll(async () => {
    device = await openDevice();
  });

  for (const { about, kernel, run, tolerance } of trials()) {
    it(`for ${about}`, async (context) => {
      const missing = kernel.requires.filter((feature) => !device.features.has(feature));
      if (missing.length > 0) context.skip(`${device.name} has no ${missing.join(", ")}`);
      const expected = interpreted(kernel, run, device.subgroupSize);
      await runOnDevice(device, kernel, run);
      expectAgreement(run.buffers, expected, tolerance);
    });
  }
});

describe("Deno runs emitted kernels like the interpreter", () => {
  // naga has no subgroups that a page could ask for.
  const offered = trials().filter(({ kernel }) => !kernel.requires.includes("subgroups"));
  let results: Awaited<ReturnType<typeof runInDeno>>;
  beforeAll(async () => {
    results = await runInDeno(offered);
  });

  offered.forEach(({ about, kernel, run, tolerance }, i) => {
    it(`for ${about}`, (context) => {
      const result = results[i]!;
      if (result.kind === "skipped") context.skip(result.reason);
      else if (result.kind === "refused") expect.fail(result.error);
      else expectAgreement(result.buffers, interpreted(kernel, run, 4), tolerance);
    });
  });
});
