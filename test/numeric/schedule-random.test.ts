/** Random small models, from graph to kernels, against the float64 forward pass: what no list of cases thinks of. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { denseForward } from "../../src/interpret/graph/dense.js";
import { ManifestRun } from "../../src/interpret/kernel/run-manifest.js";
import { type Capabilities, portableCapabilities } from "../../src/ir/kernel/capabilities.js";
import { runPasses } from "../../src/passes/pass.js";
import { repeatTokens } from "../../src/passes/tokens/repeat-tokens.js";
import { predicateOf } from "../support/predicates.js";
import { scheduleGraph } from "../support/scheduled.js";
import { buildTransformer, randomWeights, type TransformerShape } from "../support/transformer.js";

// Sums in f32 over at most forty terms, through at most three layers.
const tolerance = 2e-4;
/** PHDC_RUNS and PHDC_SEED look further. */
const runs = 12;

const subgroups: Capabilities = { ...portableCapabilities, subgroups: { minSize: 8, maxSize: 8 } };

const predicates = (copies: number) =>
  copies === 1
    ? fc.constant(predicateOf({ variant: "vanilla", copies }))
    : fc
        .record({
          variant: fc.constantFrom("naive", "phd", "phd-swa", "phd-cswa"),
          window: fc.integer({ min: 0, max: 7 }),
          unit: fc.constantFrom("tokens" as const, "positions" as const),
          chunk: fc.integer({ min: 1, max: 6 }),
        })
        .map((options) => predicateOf({ copies, ...options }));

const shapes: fc.Arbitrary<TransformerShape> = fc
  .record({ copies: fc.integer({ min: 1, max: 5 }), kvHeads: fc.integer({ min: 1, max: 3 }) })
  .chain(({ copies, kvHeads }) =>
    fc.record({
      copies: fc.constant(copies),
      kvHeads: fc.constant(kvHeads),
      heads: fc.integer({ min: 1, max: 3 }).map((group) => group * kvHeads),
      headDim: fc.integer({ min: 1, max: 5 }).map((pairs) => 2 * pairs),
      vocab: fc.integer({ min: 1, max: 40 }),
      layers: fc.integer({ min: 1, max: 3 }),
      dim: fc.integer({ min: 1, max: 24 }),
      ffn: fc.integer({ min: 1, max: 30 }),
      predicate: predicates(copies),
      positions: fc.constantFrom("shared" as const, "interleaved" as const),
      bias: fc.boolean(),
      queryKeyNorm: fc.constantFrom("head" as const, "row" as const, undefined),
      postNorm: fc.boolean(),
      tied: fc.boolean(),
    }),
  )
  .chain((shape) =>
    fc.option(predicates(shape.copies), { nil: undefined }).map((odd) => ({ ...shape, oddPredicate: odd })),
  );

it("gives the dense logits for random models, prompts, slices, splits and batches", () => {
  fc.assert(
    fc.property(
      shapes,
      fc.record({
        prompts: fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 3 }),
        steps: fc.integer({ min: 0, max: 4 }),
        slice: fc.integer({ min: 1, max: 9 }),
        splits: fc.integer({ min: 1, max: 5 }),
        capabilities: fc.constantFrom(portableCapabilities, subgroups),
      }),
      (shape, { prompts, steps, slice, splits, capabilities }) => {
        const graph = buildTransformer(shape);
        const weights = randomWeights(graph, 3);
        const { manifest, kernels } = scheduleGraph(graph, { capabilities });
        const longest = Math.max(...prompts) + steps;
        const ids = prompts.map((_, sequence) =>
          Array.from({ length: longest }, (_, at) => (at * 7 + sequence * 5 + 1) % shape.vocab),
        );
        const dense = ids.map((own) => denseForward(runPasses([repeatTokens], graph), weights, own));
        const device = new ManifestRun(manifest, kernels, (tensor) => weights(tensor).data, {
          ...{ batch: prompts.length, context: longest, slice, splits, poison: 1e30, subgroupSize: 8 },
        });
        const compare = (logits: readonly Float32Array[], step: number) => {
          for (const [sequence, prompt] of prompts.entries()) {
            const at = (prompt - 1 + step) * shape.vocab;
            for (const [index, value] of logits[sequence]!.entries()) {
              expect(Math.abs(value - dense[sequence]![at + index]!)).toBeLessThan(tolerance);
            }
          }
        };
        compare(device.prefill(prompts.map((prompt, sequence) => ids[sequence]!.slice(0, prompt))), 0);
        for (let step = 1; step <= steps; step++) {
          compare(device.decode(prompts.map((prompt, sequence) => ids[sequence]![prompt + step - 1]!)), step);
        }
      },
    ),
    { numRuns: Number(process.env["PHDC_RUNS"] ?? runs), seed: Number(process.env["PHDC_SEED"] ?? 7) },
  );
}, 300_000);
