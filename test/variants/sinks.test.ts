/** Attention sinks with a window: the first positions are kept for ever and those behind them in a ring, on the kernels themselves. */
import { describe, expect, it, vi } from "vitest";
import { evaluate } from "../../src/runtime/expr.js";
import { compileSmall, differenceAt, type PhdBlock, runOf, usualBase } from "../laws/small-models.js";

// Seconds of work each; machines that run the tests are often busy.
vi.setConfig({ testTimeout: 400_000 });

/** float32 sums of a few dozen terms, through at most four layers. */
const tolerance = 1e-4;

/** Huge where it is read, and nothing where it is masked. */
const poison = 1e30;

const relations: readonly (readonly [string, number, string])[] = [
  ["a plain window", 1, "causal(q, k) and (k.pos < 3 or q.pos - k.pos <= 4)"],
  ["originals", 2, "own(q, k) or k.copy == 1 and k.pos < q.pos and (k.pos < 2 or q.pos - k.pos <= 3)"],
  ["all copies", 3, "k.pos < q.pos and (k.pos < 2 or q.pos - k.pos <= 3) or own(q, k)"],
  ["hidden copies alone", 3, "phd(q, k) or earlier_hidden(q, k) and (k.pos == 0 or q.pos - k.pos <= 2)"],
  ["more sinks than a short text has", 2, "own(q, k) or k.pos < q.pos and (k.pos < 50 or q.pos - k.pos <= 3)"],
  ["chunks behind them", 2, "own(q, k) or k.pos < q.pos and (k.pos < 3 or q.pos div 4 == k.pos div 4)"],
  [
    "counted in hidden tokens",
    3,
    "phd(q, k) or earlier_hidden(q, k) and (hidden(k) < 3 or hidden(q) - hidden(k) <= 5)",
  ],
];

/** Sequences that stand inside the sinks, at their end, and where the ring has gone round several times. */
const sequences = [
  { pieces: [1, 1], continued: 6 },
  { pieces: [2, 5], continued: 6 },
  { pieces: [9, 6], continued: 6 },
] as const;

const idsOf = (length: number, vocab: number) => Array.from({ length }, (_, at) => (at * at * 3 + at * 5 + 1) % vocab);

describe.each(relations)("sinks of %s, K = %i", (_, repeat, attend) => {
  const phd: PhdBlock = { variant: "phd", repeat, attend };
  const model = compileSmall({ ...usualBase, num_hidden_layers: 3 }, phd);

  it("have groups of their own, and no cache grows beyond them and the ring", () => {
    const { groups, stores } = model.manifest;
    expect(groups.some(({ endPos }) => endPos !== undefined)).toBe(true);
    for (const [group, { endPos, firstPos }] of groups.entries()) {
      for (const layer of stores.distinct) {
        if (firstPos !== undefined) expect(layer[group]!.layout).not.toBe("forever");
        const slots = evaluate(layer[group]!.slots, { context: 10_000 });
        if (endPos !== undefined) expect(slots).toBeLessThanOrEqual(endPos * repeat);
        if (firstPos !== undefined) expect(slots).toBeLessThanOrEqual(12);
      }
    }
  });

  it.each([undefined, 4])("give the dense logits in a ragged batch, through poison, in slices of %s", (slice) => {
    const texts = sequences.map(({ pieces, continued }) =>
      idsOf(pieces[0] + pieces[1] + continued, model.manifest.model.vocab),
    );
    const context = Math.max(...texts.map(({ length }) => length));
    const options = { batch: texts.length, context, splits: 2, poison, ...(slice !== undefined && { slice }) };
    const run = runOf(model, options);
    run.prefill(texts.map((ids, index) => ids.slice(0, sequences[index]!.pieces[0])));
    const ends = sequences.map(({ pieces }) => pieces[0] + pieces[1]);
    const steps = [run.prefill(texts.map((ids, index) => ids.slice(sequences[index]!.pieces[0], ends[index])))];
    for (let step = 0; step < 6; step++) steps.push(run.decode(texts.map((ids, index) => ids[ends[index]! + step]!)));
    for (const [index, ids] of texts.entries()) {
      const dense = model.dense(ids);
      for (const [step, logits] of steps.entries()) {
        const position = ends[index]! - 1 + step;
        expect(differenceAt(dense, position, logits[index]!), `sequence ${index}, position ${position}`).toBeLessThan(
          tolerance,
        );
      }
    }
  });
});
