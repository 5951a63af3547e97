/**
 * Prompts in slices that need not be resumable, and prefixes cut at any position: the kernels, run by the kernel interpreter, give what a
 * fresh session gives, while everything that is not demanded or given up holds poison.
 */
import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { compileSource } from "../../src/compile.js";
import type { Manifest } from "../../src/runtime/manifest.js";
import { cutIntoSlices, prefillTable, type SlicePart } from "../../src/runtime/rows.js";
import { rowModel } from "../../src/runtime/shape.js";
import { eachRow } from "../support/each-row.js";
import { demandByForce, type Flags, liveByForce, sightOf, steadyByForce } from "../unit/passes-tokens/brute-force.js";
import {
  bases,
  type CompiledSmall,
  compileOptions,
  compileSmall,
  differenceAt,
  idLists,
  lawModels,
  relations,
  runOf,
  sourceOf,
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

/** Compares logits with those of the dense pass over `ids`, one position after the other from `from` on. */
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

/** The tokens of a layer's input rows in all slices together, as flags in stream order. */
function rowsOfSlices(manifest: Manifest, parts: readonly SlicePart[], layer: number, length: number): Flags {
  const flags: Flags = new Array<boolean>(length).fill(false);
  for (const part of parts) {
    const table = prefillTable(rowModel(manifest), [part]);
    const { base, count } = table.input(layer);
    for (let row = base; row < base + count; row++) {
      const at = table.words[4 * row + 1]! * manifest.model.copies + table.words[4 * row + 2]! - 1;
      expect(flags[at], "a token has one row").toBe(false);
      flags[at] = true;
    }
  }
  return flags;
}

describe.each(lawModels)("with %s", (_, phd) => {
  const { manifest, facts } = compileSource(sourceOf({ ...usualBase, num_hidden_layers: 3 }, phd), compileOptions)
    .program!;

  it("slices compute the rows that brute force demands of the prompt, also behind a cut, and no other", () => {
    const n = 13;
    const { copies } = facts.system;
    const horizon = n + 14;
    const sight = sightOf(facts.system, horizon);
    const live = liveByForce(facts.system, sight, steadyByForce(facts.system, sight, horizon), n);
    for (let start = 0; start < n; start++) {
      const cached = facts.prefill.layers.map((layer) => {
        const flags: Flags = new Array<boolean>(horizon * copies).fill(false);
        for (const rows of layer.cached) {
          for (const { pos, copy } of eachRow(rows, { start })) flags[pos * copies + copy - 1] = true;
        }
        return flags;
      });
      const expected = demandByForce(facts.system, sight, live, n, cached);
      const ids = new Array<number>(n).fill(0);
      const parts = cutIntoSlices(rowModel(manifest), { sequence: 0, start, resumesAt: 0, ids }, 4, 1000);
      for (const [layer, { input }] of expected.entries()) {
        const found = rowsOfSlices(manifest, parts, layer, horizon * copies);
        expect(found, `layer ${layer}, cut to ${start}`).toEqual(input);
      }
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
