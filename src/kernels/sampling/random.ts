/**
 * Random numbers that follow from what they are for: seed, sequence, step and token. No state, so that every run of a step, on any
 * device, draws the same.
 */
import { type KernelBuilder, u32, type Value } from "../../ir/kernel/builder.js";

/** PCG-RXS-M-XS on 32 bits: one step of a congruential generator and its output permutation, as a hash of one word. */
export function pcgHash(k: KernelBuilder, word: Value): Value {
  const state = k.let("state", word.mul(747796405).add(u32(2891336453)));
  const mixed = k.let("mixed", state.shr(state.shr(28).add(4)).bitXor(state).mul(277803737));
  return mixed.shr(22).bitXor(mixed);
}

/** The numbers of one sequence at one step. */
export function randomStream(k: KernelBuilder, seed: Value, sequence: Value, step: Value): Value {
  return pcgHash(k, pcgHash(k, pcgHash(k, seed).add(sequence)).add(step));
}

/** Strictly between 0 and 1, on 2^23 equal steps: all of them are f32 numbers. */
export function uniformOf(k: KernelBuilder, stream: Value, place: Value): Value {
  const bits = pcgHash(k, pcgHash(k, place).bitXor(stream));
  return bits
    .shr(9)
    .toF32()
    .add(0.5)
    .mul(2 ** -23);
}
