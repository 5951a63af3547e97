/** Models that are written at random, on the kernels: what no list of architectures and relations thinks of. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { cudaCapabilities } from "../../src/backends/cuda/capabilities.js";
import type { WeightSource } from "../../src/interpret/graph/weights.js";
import type { ManifestRunOptions } from "../../src/interpret/kernel/run-manifest.js";
import { type Capabilities, portableCapabilities } from "../../src/ir/kernel/capabilities.js";
import { asStored } from "../support/cuda-models.js";
import { type CompiledSmall, compileOptions, compileText, differenceAt, runOf } from "./small-models.js";
import { writtenModels } from "./written-models.js";

/** PHDC_RUNS and PHDC_SEED look further. */
const settings = (numRuns: number) => ({
  numRuns: Number(process.env["PHDC_RUNS"] ?? numRuns),
  seed: Number(process.env["PHDC_SEED"] ?? 20250424),
  endOnFailure: true,
});

const subgroups: Capabilities = { ...portableCapabilities, subgroups: { minSize: 8, maxSize: 8 } };

/** What happens to all sequences of a batch; the numbers are taken modulo what there is room for. */
type Turn =
  | { readonly kind: "read"; readonly tokens: readonly number[] }
  | { readonly kind: "decode" | "sample" }
  | { readonly kind: "cut"; readonly lengths: readonly number[] };

const perSequence = fc.array(fc.nat({ max: 1000 }), { minLength: 3, maxLength: 3 });
const turns: fc.Arbitrary<readonly Turn[]> = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constant("read" as const), tokens: perSequence }),
    fc.record({ kind: fc.constantFrom("decode" as const, "sample" as const) }),
    fc.record({ kind: fc.constant("cut" as const), lengths: perSequence }),
  ),
  { minLength: 1, maxLength: 5 },
);

/** Ids that look random and are not. */
const idAt = (at: number, sequence: number, vocab: number) => (at * at * 3 + at * 5 + sequence * 7 + 1) % vocab;

/** Takes the turns and holds the logits after each against those of a dense pass. */
function takeTurns(
  small: CompiledSmall,
  script: readonly Turn[],
  options: Omit<ManifestRunOptions, "batch"> & { readonly batch: number },
  { weights, tolerance }: { readonly weights?: WeightSource; readonly tolerance: number },
): void {
  const { vocab } = small.manifest.model;
  const { context, batch } = options;
  const device = runOf(small, options);
  const texts = Array.from({ length: batch }, (): number[] => []);
  const expectDense = (logits: readonly Float32Array[], about: string) => {
    for (const [sequence, ids] of texts.entries()) {
      const difference = differenceAt(small.dense(ids, weights), ids.length - 1, logits[sequence]!);
      expect(difference, `${about}, sequence ${sequence} of ${ids.length} positions`).toBeLessThan(tolerance);
    }
  };
  const read = (tokens: readonly number[]) => {
    const next = texts.map((ids, sequence) => {
      const count = 1 + (tokens[sequence]! % Math.min(9, context - ids.length));
      return Array.from({ length: count }, (_, at) => idAt(ids.length + at, sequence, vocab));
    });
    for (const [sequence, ids] of next.entries()) texts[sequence]!.push(...ids);
    expectDense(device.prefill(next), "a prompt");
  };

  read([4, 0, 7]);
  for (const turn of script) {
    const isFull = texts.some(({ length }) => length >= context);
    if (turn.kind === "cut") {
      const lengths = texts.map((ids, sequence) => turn.lengths[sequence]! % ids.length);
      device.cut(lengths);
      for (const [sequence, length] of lengths.entries()) texts[sequence]!.length = length;
      read(turn.lengths);
    } else if (isFull) return;
    else if (turn.kind === "read") read(turn.tokens);
    else {
      const ids =
        turn.kind === "sample"
          ? device.sample({ temperature: 0.8, topK: 3, topP: 0.9, seed: 5 })
          : texts.map((text, sequence) => idAt(text.length, sequence, vocab));
      for (const [sequence, id] of ids.entries()) texts[sequence]!.push(id);
      expectDense(turn.kind === "sample" ? device.step() : device.decode(ids), `after ${turn.kind}`);
    }
  }
}

const sessions = {
  batch: fc.integer({ min: 1, max: 3 }),
  context: fc.integer({ min: 9, max: 24 }),
  slice: fc.integer({ min: 1, max: 9 }),
  splits: fc.integer({ min: 1, max: 5 }),
};

it("models that are written at random give the dense logits, in ragged batches that are read, continued and cut", () => {
  fc.assert(
    fc.property(
      writtenModels,
      turns,
      fc.record(sessions),
      fc.constantFrom(portableCapabilities, subgroups),
      ({ text }, script, session, capabilities) => {
        const small = compileText({ name: "written.phd", text }, { ...compileOptions, capabilities });
        takeTurns(small, script, { ...session, poison: 1e30, subgroupSize: 8 }, { tolerance: 2e-4 });
      },
    ),
    settings(12),
  );
}, 400_000);

/** Rounding of weights, keys and inputs, through at most four layers; weights are rounded alike in the dense pass. */
const tolerances = { f16: 3e-2, bf16: 2e-1 } as const;

it("models that are written at random give the dense logits on matrix units, in halves and in small integers", () => {
  fc.assert(
    fc.property(
      writtenModels,
      turns,
      fc.record(sessions),
      fc.constantFrom("f16" as const, "bf16" as const),
      fc.option(fc.record({ bits: fc.constantFrom(4 as const, 8 as const), group: fc.constantFrom(16, 32, 64) })),
      ({ text }, script, session, dtype, quantise) => {
        const small = compileText(
          { name: "written.phd", text },
          { target: "cuda", dtype, capabilities: cudaCapabilities, ...(quantise && { quantise }) },
        );
        const weights = asStored(small.weights, small.manifest, dtype);
        takeTurns(small, script, { ...session, poison: 1e30 }, { weights, tolerance: tolerances[dtype] });
      },
    ),
    settings(6),
  );
}, 400_000);
