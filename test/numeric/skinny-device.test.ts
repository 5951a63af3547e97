/** Products of 8 and 16 rows whose groups share inputs, on WebGPU through Dawn and through naga, against the kernel interpreter. */
import { beforeAll, describe, expect, it } from "vitest";
import type { LinearOptions } from "../../src/kernels/linear/options.js";
import { skinnyLinear } from "../../src/kernels/linear/skinny.js";
import { type SkinnyLinearOptions, skinnyDivision } from "../../src/kernels/linear/skinny-options.js";
import { defaultTuning } from "../../src/kernels/tuning.js";
import { expectAgreement, interpreted } from "../unit/wgsl/compare.js";
import { runInDeno } from "../unit/wgsl/deno.js";
import { openDevice, runOnDevice, type TestDevice } from "../unit/wgsl/run-on-device.js";
import type { Trial } from "../unit/wgsl/trials.js";
import { plain, randomFloats, residual, swiglu, toHalves, withoutSubgroups } from "./linear-reference.js";

const inputs = 88;
const outputs = 37;
const rowBase = 1;

const variants: Readonly<Record<string, Partial<LinearOptions>>> = {
  "f32 and a residual": { epilogue: residual, operands: [{ name: "output", of: "element" }] },
  "f32, a norm and gating": { norm: { epsilon: 1e-5, weight: true }, matrices: 2, epilogue: swiglu },
  "weights of two bytes": { element: "f16" },
  "weights of 4 bits": { quantised: { bits: 4, group: 32 }, norm: { epsilon: 1e-5, weight: true } },
  "a norm that was left undone": {
    deferred: {
      ...{ epsilon: 1e-5, weight: true },
      expression: { kind: "binary", function: "add", left: plain, right: { kind: "operand", name: "before" } },
      operands: [{ name: "before", of: "element" }],
    },
  },
};

function trialOf(about: string, variant: Partial<LinearOptions>, rows: 8 | 16): Trial {
  const options: SkinnyLinearOptions = {
    ...{ inputs, outputs, rows, matrices: 1, element: "f32", bias: false, operands: [], outputRows: "table" },
    ...{ epilogue: plain, capabilities: withoutSubgroups, wholeBlocks: false },
    tuning: { ...defaultTuning, leastWorkgroups: 2 },
    ...variant,
  };
  const { groups, columns } = skinnyDivision(options);
  expect(groups).toBeGreaterThan(1);
  const count = rows - 3;
  const weights = options.matrices * outputs * inputs;
  const ofRows = (seed: number, width: number) => randomFloats(seed, (rowBase + count) * width);
  const buffers = {
    ...{ input: ofRows(1, inputs), output: ofRows(5, outputs) },
    weight: options.quantised
      ? Uint32Array.from({ length: outputs * 12 }, (_, i) => Math.imul(i, 2654435761) >>> 0)
      : options.element === "f16"
        ? new Uint32Array(toHalves(randomFloats(2, weights)).buffer)
        : randomFloats(2, weights),
    // Pairs of bfloat16: 0.5 and 0.25.
    ...(options.quantised && { weight_scales: new Uint32Array(outputs * 2).fill(0x3e803f00) }),
    ...(options.norm && { norm_weight: randomFloats(3, inputs) }),
    ...(options.deferred && {
      ...{ branch_gain: randomFloats(6, inputs), before: ofRows(7, inputs), stream: ofRows(8, inputs) },
    }),
  };
  const params = { row_base: rowBase, row_count: count, column_base: 0, column_count: outputs, part_base: 0 };
  const workgroups = [Math.ceil(outputs / columns), 1, 1] as const;
  // The compiler may fuse products and sums of at most 88 terms, some tens large where integers are weights.
  return {
    about: `${rows} rows, ${about}`,
    kernel: skinnyLinear(options),
    run: { buffers, params, workgroups },
    tolerance: 2e-5,
  };
}

const trials = () =>
  Object.entries(variants).flatMap(([about, variant]) =>
    ([8, 16] as const).map((rows) => trialOf(about, variant, rows)),
  );

describe("groups that share inputs compute on a device what the interpreter does, through Dawn,", () => {
  let device: TestDevice;
  beforeAll(async () => {
    device = await openDevice();
  });

  for (const { about, kernel, run, tolerance } of trials()) {
    it(`with ${about}`, async (context) => {
      const missing = kernel.requires.filter((feature) => !device.features.has(feature));
      if (missing.length > 0) context.skip(`${device.name} has no ${missing.join(", ")}`);
      const expected = interpreted(kernel, run, device.subgroupSize);
      await runOnDevice(device, kernel, run);
      expectAgreement(run.buffers, expected, tolerance);
    });
  }
});

describe("groups that share inputs compute on a device what the interpreter does, through naga,", () => {
  const offered = trials();
  let results: Awaited<ReturnType<typeof runInDeno>>;
  beforeAll(async () => {
    results = await runInDeno(offered);
  });

  offered.forEach(({ about, kernel, run, tolerance }, i) => {
    it(`with ${about}`, (context) => {
      const result = results[i]!;
      if (result.kind === "skipped") context.skip(result.reason);
      else if (result.kind === "refused") expect.fail(result.error);
      else expectAgreement(result.buffers, interpreted(kernel, run, 4), tolerance);
    });
  });
});
