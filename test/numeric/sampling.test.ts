import { describe, expect, it } from "vitest";
import { sampleToken } from "../../src/cli/sampler.js";
import { runKernel } from "../../src/interpret/kernel/run-kernel.js";
import type { Capabilities } from "../../src/ir/kernel/capabilities.js";
import { portableCapabilities } from "../../src/ir/kernel/capabilities.js";
import { argmax } from "../../src/kernels/sampling/argmax.js";
import { sample } from "../../src/kernels/sampling/sample.js";
import { randomFloats } from "./linear-reference.js";

const sequenceStride = 6;
const sequencesAt = 1;
const copies = 3;

/** Fewer invocations make the interpreter faster and meet the same code. */
const narrow = (size: number): Capabilities => ({
  ...portableCapabilities,
  limits: { ...portableCapabilities.limits, maxWorkgroupSize: size },
});

interface Settings {
  readonly temperature?: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly seed?: number;
}

/** A decode table at position 4 of every sequence; all rows hold token 99. */
function decodeControl(batch: number): { control: Int32Array; rowsAt: number } {
  const rowsAt = sequencesAt + batch * sequenceStride;
  const control = new Int32Array(rowsAt + copies * batch * 4).fill(-7);
  for (let s = 0; s < batch; s++) control.set([5, 4, 99, 0, 0, 0], sequencesAt + s * sequenceStride);
  for (let c = 0; c < copies; c++) {
    for (let s = 0; s < batch; s++) control.set([s, 4, c + 1, 99], rowsAt + 4 * (c * batch + s));
  }
  return { control, rowsAt };
}

const tokensOf = (control: Int32Array, batch: number): number[] =>
  Array.from({ length: batch }, (_, s) => control[sequencesAt + s * sequenceStride + 2]!);

/** More positions than any test fills. */
const context = 1000;

/** Draws a token for each of `batch` sequences that all have the same logits. */
function draw(logits: Float32Array, batch: number, settings: Settings, size = 16, steps = 1): number[] {
  const { temperature = 1, topK = 0, topP = 1, seed = 1 } = settings;
  const { control, rowsAt } = decodeControl(batch);
  const kernel = sample({ vocab: logits.length, copies, capabilities: narrow(size) });
  const repeated = new Float32Array(batch * logits.length);
  for (let s = 0; s < batch; s++) repeated.set(logits, s * logits.length);
  return Array.from({ length: steps }, () => {
    runKernel(kernel, {
      buffers: { logits: repeated, control },
      params: {
        sequences_at: sequencesAt,
        sequence_stride: sequenceStride,
        rows_at: rowsAt,
        batch,
        context,
        temperature,
        top_k: topK,
        top_p: topP,
        seed,
      },
      workgroups: [batch, 1, 1],
      detectRaces: steps === 1 && batch < 10,
    });
    return tokensOf(control, batch);
  }).flat();
}

function runArgmax(logits: Float32Array, vocab: number, size = 256): number[] {
  const batch = logits.length / vocab;
  const { control, rowsAt } = decodeControl(batch);
  runKernel(argmax({ vocab, copies, capabilities: narrow(size) }), {
    buffers: { logits, control },
    params: { sequences_at: sequencesAt, sequence_stride: sequenceStride, rows_at: rowsAt, batch, context },
    workgroups: [batch, 1, 1],
    detectRaces: true,
  });
  return tokensOf(control, batch);
}

/** Probabilities after temperature, top-k and top-p, by the definition: rank, cut, normalise. */
function distribution(logits: Float32Array, { temperature = 1, topK = 0, topP = 1 }: Settings): number[] {
  const ranked = [...logits.keys()].sort((a, b) => logits[b]! - logits[a]! || a - b);
  const peak = logits[ranked[0]!]!;
  const weight = (token: number) => Math.exp((logits[token]! - peak) / temperature);
  const best = topK > 0 ? ranked.slice(0, topK) : ranked;
  const total = best.reduce((sum, token) => sum + weight(token), 0);
  const kept: number[] = [];
  let mass = 0;
  for (const token of best) {
    if (kept.length > 0 && mass >= topP * total) break;
    kept.push(token);
    mass += weight(token);
  }
  const result = new Array<number>(logits.length).fill(0);
  for (const token of kept) result[token] = weight(token) / mass;
  return result;
}

/**
 * Checks counts against probabilities by Pearson's statistic. Its mean is the degrees of freedom d and its variance 2d, so 6 standard
 * deviations are never met by chance, and a wrong distribution is far beyond them at these sample sizes.
 */
function expectDistribution(tokens: readonly number[], probabilities: readonly number[]) {
  const counts = new Array<number>(probabilities.length).fill(0);
  for (const token of tokens) counts[token]!++;
  let statistic = 0;
  let cells = 0;
  probabilities.forEach((probability, token) => {
    if (probability === 0) {
      expect(counts[token], `token ${token} is cut off`).toBe(0);
      return;
    }
    const expected = probability * tokens.length;
    if (expected < 5) return;
    statistic += (counts[token]! - expected) ** 2 / expected;
    cells++;
  });
  const freedom = Math.max(1, cells - 1);
  expect(statistic).toBeLessThan(freedom + 6 * Math.sqrt(2 * freedom));
}

const logits = randomFloats(5, 24, 3);
const withTies = Float32Array.from({ length: 30 }, (_, i) => [1.5, 0.25, -1, 0.25, 0][i % 5]!);

describe("argmax", () => {
  it.each([1, 2, 5, 64, 257, 1000])("finds the most likely of %i tokens, for every sequence", (vocab) => {
    const batch = 3;
    const all = randomFloats(vocab, batch * vocab, 10);
    const expected = Array.from({ length: batch }, (_, s) => {
      const own = all.subarray(s * vocab, (s + 1) * vocab);
      return own.indexOf(Math.max(...own));
    });
    expect(runArgmax(all, vocab)).toEqual(expected);
    expect(runArgmax(all, vocab, 64)).toEqual(expected);
  });

  it("gives the smallest id of tokens that tie, zeros of either sign among them", () => {
    expect(runArgmax(withTies, 30)).toEqual([0]);
    expect(runArgmax(new Float32Array(300).fill(-4), 300)).toEqual([0]);
    expect(runArgmax(Float32Array.of(-1, -0, 0, -0), 4)).toEqual([1]);
    expect(
      runArgmax(
        Float32Array.from({ length: 600 }, (_, i) => (i === 300 || i === 599 || i === 301 ? 2 : -1)),
        600,
      ),
    ).toEqual([300]);
  });

  it("leaves a sequence that fills its context at the last position", () => {
    const { control, rowsAt } = decodeControl(1);
    const full = control[sequencesAt]!;
    runKernel(argmax({ vocab: 2, copies, capabilities: portableCapabilities }), {
      buffers: { logits: Float32Array.of(0, 3), control },
      params: { sequences_at: sequencesAt, sequence_stride: sequenceStride, rows_at: rowsAt, batch: 1, context: full },
      workgroups: [1, 1, 1],
    });
    expect([...control.slice(sequencesAt, sequencesAt + 4)]).toEqual([full, full - 1, 1, 1]);
    for (let c = 0; c < copies; c++) expect(control[rowsAt + 4 * c + 1]).toBe(full - 1);
  });

  it("moves all decode rows of a sequence on by one position", () => {
    const batch = 2;
    const { control, rowsAt } = decodeControl(batch);
    const before = control.slice();
    const vocab = 4;
    runKernel(argmax({ vocab, copies, capabilities: portableCapabilities }), {
      buffers: { logits: Float32Array.of(0, 3, 0, 0, 0, 0, 5, 0), control },
      params: { sequences_at: sequencesAt, sequence_stride: sequenceStride, rows_at: rowsAt, batch, context },
      workgroups: [batch, 1, 1],
    });
    const expected = before.slice();
    [1, 2].forEach((token, s) => {
      expected.set([6, 5, token, 1], sequencesAt + s * sequenceStride);
      for (let c = 0; c < copies; c++) expected.set([s, 5, c + 1, token], rowsAt + 4 * (c * batch + s));
    });
    expect([...control]).toEqual([...expected]);
  });
});

describe("sample", () => {
  it.each<Settings>([
    { temperature: 1 },
    { temperature: 0.5 },
    { temperature: 2.5 },
    { topK: 5 },
    { topK: 23 },
    { topK: 24 },
    { topK: 100 },
    { topP: 0.7 },
    { topP: 0.05 },
    { topP: 0.999 },
    { temperature: 1.7, topK: 9, topP: 0.8 },
    { temperature: 0.3, topK: 3, topP: 0.97 },
  ])("draws from the distribution that %o leaves", (settings) => {
    expectDistribution(draw(logits, 1500, settings), distribution(logits, settings));
  });

  it.each<Settings>([
    { topK: 3 },
    { topK: 8 },
    { topP: 0.5 },
    { topP: 0.85 },
    { topK: 14, topP: 0.9 },
    { topK: 20, topP: 0.8 },
  ])("keeps the smallest ids among equal logits when %o cuts through them", (settings) => {
    expectDistribution(draw(withTies, 1000, settings), distribution(withTies, settings));
  });

  it("draws step after step as it does sequence after sequence", () => {
    expectDistribution(draw(logits, 20, {}, 16, 50), distribution(logits, {}));
    expectDistribution(draw(logits, 1, { seed: 77 }, 16, 800), distribution(logits, {}));
  });

  it("is the arg-max for top-k = 1, for temperature 0, and for a nucleus of almost nothing", () => {
    for (const vocab of [1, 7, 64, 259]) {
      const own = randomFloats(vocab + 3, vocab, 8);
      const expected = runArgmax(own, vocab)[0]!;
      const settings: Settings[] = [{ topK: 1 }, { topK: 1, temperature: 5 }, { temperature: 0 }, { topP: 1e-6 }];
      for (const setting of settings) {
        expect(new Set(draw(own, 6, setting, 256))).toEqual(new Set([expected]));
      }
    }
    for (const setting of [{ topK: 1 }, { temperature: 0 }, { temperature: 0, topK: 4, topP: 0.5 }, { topP: 1e-6 }]) {
      expect(new Set(draw(withTies, 6, setting, 64))).toEqual(new Set([0]));
    }
  });

  it("repeats itself for a seed and differs between seeds, sequences and steps", () => {
    const wide = new Float32Array(512);
    const first = draw(wide, 40, { seed: 3 });
    expect(draw(wide, 40, { seed: 3 })).toEqual(first);
    expect(new Set(first).size).toBeGreaterThan(30);
    const agreement = draw(wide, 40, { seed: 4 }).filter((token, s) => token === first[s]).length;
    expect(agreement).toBeLessThan(5);
    const steps = draw(wide, 1, { seed: 3 }, 16, 40);
    expect(new Set(steps).size).toBeGreaterThan(30);
  });

  it.each<Settings>([
    { temperature: 0 },
    { temperature: 1 },
    { temperature: 0.6, topK: 5 },
    { temperature: 1.5, topP: 0.8 },
    { temperature: 2, topK: 9, topP: 0.9 },
  ])("draws with %o what devices draw that sample on the host", (settings) => {
    for (const own of [logits, withTies]) {
      const onHost = (seed: number, sequence: number, step: number) =>
        sampleToken(own, { temperature: 1, topK: 0, topP: 1, ...settings, seed }, sequence, step);
      for (const seed of [0, 1, 0xffffffff]) {
        const steps = draw(own, 3, { ...settings, seed }, 16, 30);
        expect(steps).toEqual(steps.map((_, index) => onHost(seed, index % 3, Math.floor(index / 3))));
      }
    }
  });

  it("finds its cuts in large vocabularies and far from zero", () => {
    const vocab = 1003;
    for (const [scale, shift] of [
      [8, 0],
      [1, -40],
      [2, 60],
      [1e-3, 0],
    ] as const) {
      const own = randomFloats(9, vocab, scale).map((x) => x + shift);
      for (const settings of [{ topK: 10 }, { topP: 0.3 }, { topK: 200, topP: 0.5 }]) {
        const allowed = distribution(own, settings);
        for (const token of draw(own, 12, settings, 64)) expect(allowed[token]).toBeGreaterThan(0);
      }
    }
  });
});
