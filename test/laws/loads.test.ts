/** What a decode step loads and stores, binding by binding, counted by the kernel interpreter for every K up to 16. */
import { describe, expect, it } from "vitest";
import { AccessCounts } from "../../src/interpret/kernel/access-counts.js";
import { ManifestRun } from "../../src/interpret/kernel/run-manifest.js";
import type { Manifest } from "../../src/runtime/manifest.js";
import type { Call } from "../../src/runtime/program.js";
import { storesOf } from "../../src/runtime/shape.js";
import { predicateOf } from "../support/predicates.js";
import { type ScheduledModel, scheduleGraph } from "../support/scheduled.js";
import { buildTransformer, randomWeights, type TransformerShape } from "../support/transformer.js";

/** Norms before the products, or behind them and over whole rows of queries and keys. */
const families: Readonly<Record<string, Partial<TransformerShape>>> = {
  before: {},
  behind: { postNorm: true, queryKeyNorm: "row" },
};
const layers = 2;
const prompt = 21;

function modelOf(
  family: string,
  copies: number,
): ScheduledModel & { readonly tensors: ReturnType<typeof randomWeights> } {
  const graph = buildTransformer({
    ...{ vocab: 23, layers, dim: 16, heads: 4, kvHeads: 2, headDim: 4, ffn: 12, copies },
    predicate:
      copies === 1
        ? predicateOf({ variant: "vanilla", copies })
        : predicateOf({ variant: "phd-cswa", copies, window: 8, chunk: 16 }),
    ...families[family],
  });
  return { ...scheduleGraph(graph), tensors: randomWeights(graph) };
}

interface Counted {
  readonly call: Call;
  readonly counts: AccessCounts;
}

/** The calls of the step after a prompt. */
function stepOf({ manifest, kernels, tensors }: ReturnType<typeof modelOf>): Counted[] {
  const counted: Counted[] = [];
  const run = new ManifestRun(manifest, kernels, (tensor) => tensors(tensor).data, {
    ...{ context: 32, splits: 3 },
    countOf: (call) => {
      counted.push({ call, counts: new AccessCounts() });
      return counted.at(-1)!.counts;
    },
  });
  run.prefill([Array.from({ length: prompt }, (_, index) => (index * 7) % 23)]);
  counted.length = 0;
  run.decode([5]);
  return counted;
}

const infoOf = (manifest: Manifest, name: string) => manifest.weights.find((weight) => weight.name === name)!;

/** Sums loads over all calls, by what is bound: matrix elements, keys per layer and group, and bytes of everything else. */
function loadsOf({ manifest }: ScheduledModel, step: readonly Counted[]) {
  const matrices = new Map<string, number[]>();
  const keys = new Map<string, { loads: number[]; storedBytes: number }>();
  let vectors = 0;
  let activations = 0;
  for (const { call, counts } of step) {
    for (const name of counts.buffers) {
      const source = call.bindings[name]!;
      const { loadsOfElement, loadedBytes, storedBytes } = counts.of(name);
      if (source.kind === "weight" && infoOf(manifest, source.name).columns > 1) {
        const key = `${source.name} ${infoOf(manifest, source.name).perLayer ? call.layer : ""}`;
        matrices.set(key, added(matrices.get(key) ?? [], loadsOfElement));
      } else if (source.kind === "weight") vectors += loadedBytes;
      else if (source.kind === "keys") {
        const key = `${call.layer} ${source.group}`;
        const known = keys.get(key) ?? { loads: [], storedBytes: 0 };
        keys.set(key, {
          loads: added(known.loads, loadsOfElement),
          storedBytes: known.storedBytes + storedBytes,
        });
      } else activations += loadedBytes + storedBytes;
    }
  }
  return { matrices, keys, vectors, activations };
}

const added = (sums: readonly number[], loads: Uint32Array): number[] =>
  Array.from(loads, (count, index) => count + (sums[index] ?? 0));

const known = new Map<string, ReturnType<typeof countStep>>();

function countStep(family: string, copies: number) {
  const model = modelOf(family, copies);
  const step = stepOf(model);
  return { model, step, loads: loadsOf(model, step) };
}

/** Two tests look at each step. */
function countedStep(family: string, copies: number) {
  const key = `${family} ${copies}`;
  const counted = known.get(key) ?? countStep(family, copies);
  known.set(key, counted);
  return counted;
}

/** Keys of earlier positions that the step can see: all originals, and hidden ones of the chunk, 8 back from the first that asks. */
function liveKeys(copies: number, group: string, layer: number): number {
  if (group === "originals") return prompt;
  // In the last layer only copy K queries, and its own position's copies are among the 8. The chunk began at position 16.
  const within = layer === layers - 1 ? 8 - (copies - 2) : 8;
  return Math.max(0, Math.min((prompt - 16) * (copies - 1), within));
}

describe.each(Object.keys(families))("a decode step, norms %s the products", (family) => {
  it.each(Array.from({ length: 16 }, (_, index) => index + 1))(
    "loads every weight and every live key once, K = %i",
    (copies) => {
      const { model, step, loads: found } = countedStep(family, copies);
      const { matrices, keys } = found;
      const table = infoOf(model.manifest, "embed_tokens");
      for (const [name, loads] of matrices) {
        const once = name.startsWith(`${table.name} `) ? new Set([0, 1]) : new Set([1]);
        expect(new Set(loads), name).toEqual(once);
        if (once.has(0)) expect(loads.filter((count) => count === 1)).toHaveLength(table.columns / 4);
      }
      for (let layer = 0; layer < layers; layer++) {
        for (const { group, layout, kvWidth } of storesOf(model.manifest, layer)) {
          const moved = keys.get(`${layer} ${group}`);
          if (layout === "unread" || layout === "step") {
            expect(moved, `${group} in layer ${layer}`).toBeUndefined();
            continue;
          }
          const { loads, storedBytes } = moved!;
          expect(Math.max(...loads), `${group} in layer ${layer}`).toBe(1);
          expect(loads.filter((count) => count > 0).length * 4).toBe(2 * liveKeys(copies, group, layer) * kvWidth);
          const members = group === "originals" ? 1 : copies - 1;
          expect(storedBytes).toBe(2 * members * kvWidth * 4);
        }
      }
      for (let layer = 0; layer < layers; layer++) {
        expect(step.filter(({ call }) => call.layer === layer).length).toBeLessThanOrEqual(6);
      }
    },
  );

  it("loads and stores so many bytes of activations, gains and angles", async () => {
    const lines = Array.from({ length: 16 }, (_, index) => {
      const { vectors, activations } = countedStep(family, index + 1).loads;
      return `K=${index + 1}: ${activations} of activations, control words and angles, ${vectors} of gains\n`;
    });
    await expect(lines.join("")).toMatchFileSnapshot(`../cases/work/activations-norms-${family}.txt`);
  });
});
