import { expect, it } from "vitest";
import { copiesOfWeights } from "../../../src/bench/measure-kernels.js";

const mib = 2 ** 20;
const gpu = { leastMs: 20, bytesPerSecond: 3e12 };
const software = { leastMs: 20, bytesPerSecond: 2e9 };

it("reads weights that a cache would hold from several copies where that shows in the time of a kernel", () => {
  expect(copiesOfWeights(50 * mib, { ...gpu, roundMs: 0.1 })).toBe(4);
  expect(copiesOfWeights(mib, { ...gpu, roundMs: 0.1 })).toBe(8);
  expect(copiesOfWeights(400 * mib, { ...gpu, roundMs: 0.3 })).toBe(1);
  // Half of the time could be that of the weights.
  expect(copiesOfWeights(50 * mib, { ...software, roundMs: 50 })).toBe(4);
});

it("needs no copies where weights take a small part of the time, and no time to measure what has no weights", () => {
  expect(copiesOfWeights(12 * mib, { ...software, roundMs: 400 })).toBe(1);
  expect(copiesOfWeights(50 * mib, { ...gpu, roundMs: 25 })).toBe(1);
  expect(copiesOfWeights(0, { ...gpu, roundMs: 0.1 })).toBe(1);
});
