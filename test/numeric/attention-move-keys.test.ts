import { describe, expect, it } from "vitest";
import { runKernel } from "../../src/interpret/kernel/run-kernel.js";
import { evaluate } from "../../src/ir/expr.js";
import { moveKeys } from "../../src/kernels/attention/move-keys.js";
import { moveKeysWorkgroups } from "../../src/kernels/attention/options.js";
import { withoutSubgroups } from "./linear-reference.js";

interface Move {
  readonly direction: "in" | "out";
  readonly copies: number;
  readonly kvWidth: number;
  readonly cache: "f32" | "f16";
  readonly keep: number;
  readonly ringSlots: number;
  readonly scratchSlots: number;
  readonly sequences: readonly { readonly length: number; readonly start: number; readonly base: number }[];
}

const group = 1;
const sequenceStride = 6;
const sequencesAt = 2;

/** Moves keys between stores that hold a different number in every element; gives the store written to, and what it held. */
function move(test: Move) {
  const { direction, copies, kvWidth, cache, keep, ringSlots, scratchSlots, sequences } = test;
  const batch = sequences.length;
  const [fromSlots, toSlots] = direction === "in" ? [ringSlots, scratchSlots] : [scratchSlots, ringSlots];
  const stored = (values: number[]) => (cache === "f32" ? Float32Array.from(values) : Uint16Array.from(values));
  const from = stored(Array.from({ length: 2 * batch * fromSlots * kvWidth }, (_, i) => i + 1));
  const to = stored(new Array<number>(2 * batch * toSlots * kvWidth).fill(0));
  const control = new Int32Array(sequencesAt + batch * sequenceStride);
  sequences.forEach(({ length, start, base }, s) => {
    control.set([length, start, 0, 0, 0, base], sequencesAt + s * sequenceStride);
  });
  const [x, , z] = moveKeysWorkgroups(test, keep);
  runKernel(moveKeys({ direction, group, copies, kvWidth, cache, capabilities: withoutSubgroups }), {
    buffers: { from, to, control },
    params: {
      sequences_at: sequencesAt,
      sequence_stride: sequenceStride,
      batch,
      keep,
      ring_slots: ringSlots,
      scratch_slots: scratchSlots,
    },
    workgroups: [evaluate(x, {}), batch, evaluate(z, {})],
    detectRaces: true,
  });
  return { from, to };
}

/** The same, key by key. */
function movedBy(test: Move, from: Float32Array | Uint16Array): number[] {
  const { direction, copies, kvWidth, keep, ringSlots, scratchSlots, sequences } = test;
  const [fromSlots, toSlots] = direction === "in" ? [ringSlots, scratchSlots] : [scratchSlots, ringSlots];
  const to = new Array<number>(2 * sequences.length * toSlots * kvWidth).fill(0);
  sequences.forEach(({ length, start, base }, s) => {
    const end = (direction === "in" ? start : length) * copies;
    for (let index = Math.max(0, end - keep); index < end; index++) {
      if (index < base) continue;
      const [ring, scratch] = [index % ringSlots, (index - base) % scratchSlots];
      const [source, target] = direction === "in" ? [ring, scratch] : [scratch, ring];
      for (const half of [0, 1]) {
        const row = half * sequences.length + s;
        for (let i = 0; i < kvWidth; i++) {
          to[(row * toSlots + target) * kvWidth + i] = from[(row * fromSlots + source) * kvWidth + i]!;
        }
      }
    }
  });
  return to;
}

describe("keys of a ring around a prefill slice", () => {
  const sequences = [
    { length: 30, start: 20, base: 24 },
    { length: 5, start: 0, base: 0 },
    // A sequence that is done: the slice adds nothing to it.
    { length: 7, start: 7, base: 0 },
    { length: 12, start: 1, base: 0 },
  ];
  const store = { copies: 2, keep: 16, ringSlots: 18, scratchSlots: 40, sequences } as const;

  it.each([
    [8, "f32"],
    [6, "f32"],
    [5, "f32"],
    [64, "f16"],
  ] as const)("go from the ring to the scratch before it, %i %s a key", (kvWidth, cache) => {
    const test: Move = { ...store, direction: "in", kvWidth, cache };
    const { from, to } = move(test);
    expect([...to]).toEqual(movedBy(test, from));
  });

  it.each([
    [8, "f32"],
    [5, "f32"],
    [64, "f16"],
  ] as const)("go from the scratch to the ring after it, %i %s a key", (kvWidth, cache) => {
    const test: Move = { ...store, direction: "out", kvWidth, cache };
    const { from, to } = move(test);
    expect([...to]).toEqual(movedBy(test, from));
  });

  it("stay as they are when the ring keeps none", () => {
    const { to } = move({ ...store, keep: 0, direction: "out", kvWidth: 4, cache: "f32" });
    expect(to.every((value) => value === 0)).toBe(true);
  });
});
