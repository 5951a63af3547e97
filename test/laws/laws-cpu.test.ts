/**
 * The consistency laws on the CPU device: imported models, the rows that the analyses demand, stores that really drop what they give up.
 */
import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { createCpuSession, denseForward } from "../../src/interpret/graph/index.js";
import {
  type Base,
  bases,
  blockOf,
  differenceAt,
  idLists,
  named,
  type PhdBlock,
  planSmall,
  relations,
} from "./small-models.js";

// Seconds of work each; machines that run the tests are often busy.
vi.setConfig({ testTimeout: 400_000 });

const settings = (numRuns: number) => ({ numRuns, seed: 20250424, endOnFailure: true });

const inVocab = (ids: readonly number[], { vocab_size }: Base) => ids.map((id) => id % vocab_size);

describe("prefill and decode give the dense logits", () => {
  it("at every position, for every split", () => {
    fc.assert(
      fc.property(bases, relations, idLists(1, 17), (base, phd, anyIds) => {
        const ids = inVocab(anyIds, base);
        const { graph, dense, weights } = planSmall(base, phd);
        const whole = denseForward(dense, weights, ids);
        const session = createCpuSession(graph, weights);
        for (let split = 1; split <= ids.length; split++) {
          const steps = [session.prefill([ids.slice(0, split)])[0]!];
          for (const id of ids.slice(split)) steps.push(session.decode([id])[0]!);
          for (const [step, logits] of steps.entries()) expectRow(logits, whole, split - 1 + step);
        }
      }),
      settings(90),
    );
  });

  it("when a prompt comes in slices between which single tokens are decoded", () => {
    fc.assert(
      fc.property(
        bases,
        relations,
        idLists(1, 24),
        fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 24, maxLength: 24 }),
        (base, phd, anyIds, cuts) => {
          const ids = inVocab(anyIds, base);
          const { graph, dense, weights } = planSmall(base, phd);
          const whole = denseForward(dense, weights, ids);
          const session = createCpuSession(graph, weights);
          for (let at = 0, step = 0; at < ids.length; step++) {
            const slice = ids.slice(at, at + cuts[step]!);
            const [logits] =
              at === 0
                ? session.prefill([slice])
                : slice.length === 1
                  ? session.decode(slice)
                  : session.advance([slice]);
            at += slice.length;
            expectRow(logits!, whole, at - 1);
          }
        },
      ),
      settings(90),
    );
  });
});

function expectRow(logits: Float64Array, whole: Float64Array, position: number): void {
  // The dense pass runs on the graph as it was lowered; fused operations add in another order.
  expect(differenceAt(whole, position, logits), `position ${position}`).toBeLessThan(1e-11);
}

/** Both give the same logits for the same weights. */
function expectSame(base: Base, left: PhdBlock, right: PhdBlock, anyIds: readonly number[]): void {
  const ids = inVocab(anyIds, base);
  const [first, second] = [left, right].map((phd) => planSmall(base, phd));
  const expected = denseForward(second!.dense, second!.weights, ids);
  const logits = denseForward(first!.dense, first!.weights, ids);
  expect(Math.max(...logits.map((value, index) => Math.abs(value - expected[index]!)))).toBeLessThan(1e-9);
}

describe("variants meet", () => {
  const twoUnits = fc.constantFrom("tokens" as const, "positions" as const);

  it("K = 1 of any variant is vanilla", () => {
    fc.assert(
      fc.property(bases, named, idLists(2, 14), (base, phd, ids) => {
        const { positions = "shared" } = phd;
        expectSame(base, { ...phd, repeat: 1 }, { variant: "vanilla", repeat: 1, positions }, ids);
      }),
      settings(40),
    );
  });

  it("PHD-SWA with W = 0 is PHD", () => {
    fc.assert(
      fc.property(bases, named, twoUnits, idLists(2, 14), (base, block, window_unit, ids) => {
        const swa = blockOf("phd-swa", { ...block, window: 0, window_unit });
        expectSame(base, swa, blockOf("phd", block), ids);
      }),
      settings(40),
    );
  });

  it("PHD-CSWA with C >= n is PHD-SWA, and with C = 1 it is PHD", () => {
    fc.assert(
      fc.property(bases, named, fc.nat({ max: 9 }), fc.nat({ max: 3 }), twoUnits, idLists(2, 14), (...drawn) => {
        const [base, block, window, beyond, window_unit, ids] = drawn;
        const cswa = (chunk: number) => blockOf("phd-cswa", { ...block, window, window_unit, chunk });
        expectSame(base, cswa(ids.length + beyond), blockOf("phd-swa", { ...block, window, window_unit }), ids);
        expectSame(base, cswa(1), blockOf("phd", block), ids);
      }),
      settings(40),
    );
  });

  it("originals of PHD with shared positions compute what the vanilla model computes, whatever K is", () => {
    fc.assert(
      fc.property(bases, fc.integer({ min: 2, max: 5 }), idLists(2, 14), (base, repeat, anyIds) => {
        const ids = inVocab(anyIds, base);
        const vanilla = planSmall(base, { variant: "vanilla", repeat: 1 });
        const phd = planSmall(base, { variant: "phd", repeat });
        const originals = { ...phd.dense, predictCopy: 1, body: predictingOriginals(phd.dense) };
        const expected = denseForward(vanilla.dense, vanilla.weights, ids);
        const logits = denseForward(originals, phd.weights, ids);
        expect(Math.max(...logits.map((value, index) => Math.abs(value - expected[index]!)))).toBeLessThan(1e-9);
      }),
      settings(15),
    );
  });
});

/** The same graph with its head on copy 1. */
function predictingOriginals({ body }: ReturnType<typeof planSmall>["dense"]) {
  return { ...body, ops: body.ops.map((op) => (op.kind === "select-copy" ? { ...op, copy: 1 } : op)) };
}

describe("the future", () => {
  it("changes no logits before it, whatever tokens it holds", () => {
    fc.assert(
      fc.property(bases, relations, idLists(2, 14), idLists(14, 14), fc.nat(), (base, phd, anyIds, others, at) => {
        const ids = inVocab(anyIds, base);
        const { dense, weights } = planSmall(base, phd);
        const first = 1 + (at % (ids.length - 1));
        const changed = ids.map((id, position) => (position < first ? id : others[position]! % base.vocab_size));
        const until = first * base.vocab_size;
        const [before, after] = [ids, changed].map((each) => denseForward(dense, weights, each).subarray(0, until));
        expect(after).toEqual(before);
      }),
      settings(60),
    );
  });
});
