/**
 * Prompts in slices that need not be resumable, and prefixes cut at any position: the kernels, run by the kernel interpreter, give what a
 * fresh session gives, while everything that is not demanded or given up holds poison.
 */
import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import {
  bases,
  type CompiledSmall,
  compileSmall,
  differenceAt,
  idLists,
  lawModels,
  relations,
  runOf,
  usualBase,
} from "./small-models.js";

// Seconds of work each; machines that run the tests are often busy.
vi.setConfig({ testTimeout: 400_000 });

/** float32 sums of a few dozen terms, through at most four layers. */
const tolerance = 1e-4;
const poison = 1e30;

const textOf = (length: number, seed: number, vocab: number) =>
  Array.from({ length }, (_, at) => (at * at * 3 + at * (5 + seed) + 1 + seed) % vocab);

const inVocab = (model: CompiledSmall, ids: readonly number[]) => ids.map((id) => id % model.manifest.model.vocab);

/** The logits of the last position of `ids`, which are given first, `decoded` of them one by one, and of each position of `next`. */
function expectDense(model: CompiledSmall, ids: readonly number[], from: number, steps: readonly Float32Array[]): void {
  const dense = model.dense(ids);
  for (const [step, logits] of steps.entries()) {
    const position = from + step;
    expect(differenceAt(dense, position, logits), `position ${position} of ${ids.length}`).toBeLessThan(tolerance);
  }
}

describe.each(lawModels)("with %s", (_, phd) => {
  const model = compileSmall({ ...usualBase, num_hidden_layers: 3 }, phd);
  const { vocab } = model.manifest.model;

  it("a prompt in slices gives the logits that it gives in one piece, wherever they end", () => {
    const ids = textOf(17, 0, vocab);
    for (const slice of [1, 2, 3, 5, 8]) {
      const run = runOf(model, { context: ids.length, slice, splits: 2, poison });
      const steps = [run.prefill([ids.slice(0, 14)])[0]!, ...ids.slice(14).map((id) => run.decode([id])[0]!)];
      expectDense(model, ids, 13, steps);
    }
  });

  it("a sequence cut back to any position goes on as a fresh one does", () => {
    const before = textOf(9, 0, vocab);
    for (let length = 0; length <= before.length; length++) {
      const run = runOf(model, { context: 20, slice: 4, splits: 2, poison });
      run.prefill([before.slice(0, 7)]);
      for (const id of before.slice(7)) run.decode([id]);
      run.cut([length]);
      const next = textOf(1 + (length % 6), 4, vocab);
      const steps = [run.prefill([next])[0]!, ...textOf(3, 7, vocab).map((id) => run.decode([id])[0]!)];
      const ids = [...before.slice(0, length), ...next, ...textOf(3, 7, vocab)];
      expectDense(model, ids, length + next.length - 1, steps);
    }
  });
});

describe("random models", () => {
  it("go on from a prefix cut twice, each sequence of a batch elsewhere", () => {
    fc.assert(
      fc.property(
        bases,
        relations,
        fc.tuple(idLists(1, 12), idLists(1, 12)),
        fc.array(fc.nat(), { minLength: 4, maxLength: 4 }),
        fc.integer({ min: 1, max: 8 }),
        (base, phd, texts, cuts, slice) => {
          const model = compileSmall(base, phd);
          let sequences = texts.map((ids) => inVocab(model, ids));
          const run = runOf(model, { batch: 2, context: 40, slice, splits: 2, poison });
          run.prefill(sequences);
          for (const round of [0, 1]) {
            const lengths = sequences.map((ids, index) => cuts[2 * round + index]! % (ids.length + 1));
            run.cut(lengths);
            const next = lengths.map((length, index) => textOf(1 + ((length + index) % 7), round, base.vocab_size));
            sequences = sequences.map((ids, index) => [...ids.slice(0, lengths[index]!), ...next[index]!]);
            const steps = [run.prefill(next)];
            for (const id of textOf(2, 3, base.vocab_size)) {
              steps.push(run.decode([id, id]));
              for (const ids of sequences) ids.push(id);
            }
            for (const [index, ids] of sequences.entries()) {
              expectDense(
                model,
                ids,
                ids.length - 3,
                steps.map((logits) => logits[index]!),
              );
            }
          }
        },
      ),
      { numRuns: 25, seed: 20250424, endOnFailure: true },
    );
  });
});
