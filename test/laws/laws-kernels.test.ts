/**
 * The consistency laws on the kernels themselves, run by the kernel interpreter: splits, slices, ragged batches, and poison in all
 * memory that nobody may read.
 */
import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import type { ManifestRun, ManifestRunOptions } from "../../src/interpret/kernel/run-manifest.js";
import { add } from "../../src/ir/expr.js";
import {
  bases,
  blockOf,
  type CompiledSmall,
  compileSmall,
  differenceAt,
  idLists,
  lawModels,
  relations,
  runOf,
  usualBase,
} from "./small-models.js";

const settings = (numRuns: number) => ({ numRuns, seed: 20250424, endOnFailure: true });

// Seconds of work each; machines that run the tests are often busy.
vi.setConfig({ testTimeout: 400_000 });

/** float32 sums of a few dozen terms, through at most four layers. */
const tolerance = 1e-4;

/** See poison.ts of the run time: huge where it is read, and nothing where it is masked. */
const poison = 1e30;

interface Sequence {
  /** Prompt, in the pieces in which it is given. */
  readonly pieces: readonly (readonly number[])[];
  readonly continued: readonly number[];
}

/** The logits after the last piece and after every continued token, per step and sequence. All sequences have the same number of each. */
function runBatch(
  model: CompiledSmall,
  batch: readonly Sequence[],
  options: Partial<ManifestRunOptions>,
): Float32Array[][] {
  const lengthOf = ({ pieces, continued }: Sequence) => pieces.flat().length + continued.length;
  const context = Math.max(...batch.map(lengthOf));
  const run: ManifestRun = runOf(model, { batch: batch.length, context, splits: 2, ...options });
  let logits: Float32Array[] = [];
  for (const piece of batch[0]!.pieces.keys()) logits = run.prefill(batch.map(({ pieces }) => pieces[piece]!));
  return [logits, ...batch[0]!.continued.map((_, step) => run.decode(batch.map(({ continued }) => continued[step]!)))];
}

function expectDense(model: CompiledSmall, batch: readonly Sequence[], steps: readonly Float32Array[][]): void {
  for (const [index, { pieces, continued }] of batch.entries()) {
    const dense = model.dense([...pieces.flat(), ...continued]);
    for (const [step, logits] of steps.entries()) {
      const position = pieces.flat().length - 1 + step;
      expect(differenceAt(dense, position, logits[index]!), `sequence ${index}, position ${position}`).toBeLessThan(
        tolerance,
      );
    }
  }
}

const inVocab = (model: CompiledSmall, ids: readonly number[]) => ids.map((id) => id % model.manifest.model.vocab);

describe("kernels give the dense logits", () => {
  it("of random models, relations and splits", () => {
    fc.assert(
      fc.property(bases, relations, idLists(1, 16), fc.nat(), fc.integer({ min: 1, max: 8 }), (...drawn) => {
        const [base, phd, anyIds, at, slice] = drawn;
        const model = compileSmall(base, phd);
        const ids = inVocab(model, anyIds);
        const split = 1 + (at % ids.length);
        const batch = [{ pieces: [ids.slice(0, split)], continued: ids.slice(split) }];
        expectDense(model, batch, runBatch(model, batch, { slice, poison }));
      }),
      settings(30),
    );
  });
});

describe.each(lawModels)("with %s", (_, phd) => {
  const model = compileSmall({ ...usualBase, num_hidden_layers: 3 }, phd);
  const text = Array.from({ length: 40 }, (_, at) => (at * at * 3 + at * 5 + 1) % usualBase.vocab_size);

  it("poison in everything that nobody may read leaves the logits as they are, to the bit", () => {
    const batch = [{ pieces: [text.slice(0, 6), text.slice(6, 9)], continued: text.slice(9, 15) }];
    const plain = runBatch(model, batch, { slice: 4 });
    expect(runBatch(model, batch, { slice: 4, poison })).toEqual(plain);
    expect(runBatch(model, batch, { slice: 4, poison: -poison })).toEqual(plain);
    expectDense(model, batch, plain);
  });

  it("sequences of a batch, each elsewhere in its chunk, go on as each goes on alone", () => {
    // Prompts of 1, and of just before, at and just after the edges of chunks of 3 and 4; then further pieces at other edges.
    const lengths: readonly (readonly [number, number])[] = [
      [1, 1],
      [3, 5],
      [4, 1],
      [5, 8],
      [12, 3],
    ];
    const batch = lengths.map(([first, second], index): Sequence => {
      const ids = text.slice(index, index + first + second + 4);
      return { pieces: [ids.slice(0, first), ids.slice(first, first + second)], continued: ids.slice(first + second) };
    });
    const together = runBatch(model, batch, { slice: 5, poison });
    expectDense(model, batch, together);
    for (const [index, sequence] of batch.entries()) {
      const alone = runBatch(model, [sequence], { slice: 5, poison });
      for (const [step, [logits]] of alone.entries()) {
        for (const [id, value] of logits!.entries()) expect(together[step]![index]![id]).toBeCloseTo(value, 4);
      }
    }
  });
});

it("poison shows a ring that gives up a key too early, and rows that are left out", () => {
  const model = compileSmall(usualBase, blockOf("phd-swa", { repeat: 3, window: 4 }));
  const ids = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3];
  const batch = [{ pieces: [ids.slice(0, 6)], continued: ids.slice(6) }];
  const { manifest } = model;
  const forgetful = manifest.stores.distinct.map((ofLayer) =>
    ofLayer.map((store) => (store.layout === "ring" ? { ...store, keep: store.keep - 1 } : store)),
  );
  const late = manifest.rows.prefill.inputs.map((sets) =>
    sets.map((set) => ({ ...set, ranges: set.ranges.map((range) => ({ ...range, lo: add(range.lo, 1) })) })),
  );
  const damaged = [
    { ...manifest, stores: { ...manifest.stores, distinct: forgetful } },
    { ...manifest, rows: { ...manifest.rows, prefill: { ...manifest.rows.prefill, inputs: late } } },
  ];
  const plain = runBatch(model, batch, { poison });
  for (const each of damaged) expect(runBatch({ ...model, manifest: each }, batch, { poison })).not.toEqual(plain);
});
