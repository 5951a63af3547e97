/** What the benchmark counts, held against what kernels load and store when the kernel interpreter runs them. */
import { describe, expect, it } from "vitest";
import { type CallWork, countWork, sumBytes, totalBytes } from "../../../src/bench/count-work.js";
import { randomCheckpoint, randomTensor } from "../../../src/bench/random-weights.js";
import { type Repetition, shapeSource } from "../../../src/bench/shapes.js";
import { compileSource, type Program } from "../../../src/compile.js";
import { AccessCounts } from "../../../src/interpret/kernel/access-counts.js";
import { ManifestRun } from "../../../src/interpret/kernel/run-manifest.js";
import type { Quantisation } from "../../../src/runtime/manifest.js";
import { planWeights } from "../../../src/runtime/packing.js";
import type { Call } from "../../../src/runtime/program.js";

const limits = { maxBufferSize: 2 ** 30, maxStorageBufferBindingSize: 2 ** 30 };
const prompt = 21;
const context = 32;

interface CountedRun {
  readonly works: readonly CallWork[];
  readonly counts: readonly AccessCounts[];
  readonly program: Program;
}

interface RunOptions {
  readonly batch?: number;
  readonly quantise?: Quantisation;
}

async function run(
  repetition: Repetition,
  phase: "prefill" | "decode",
  { batch = 1, quantise }: RunOptions = {},
): Promise<CountedRun> {
  const made = shapeSource("llama-2x64", repetition);
  if ("wrong" in made) throw new Error("the shape does not import");
  const compile = (how: Quantisation | undefined) =>
    compileSource(made.source, { target: "webgpu", dtype: "f32", quantise: how }).program!;
  const program = compile(quantise);
  const checkpoint = randomCheckpoint(compile(undefined).manifest, "F32");
  const tensors = new Map<string, Float32Array>();
  for (const name of checkpoint.tensors.keys()) tensors.set(name, await randomTensor(checkpoint, name));
  const calls: Call[] = [];
  const counts: AccessCounts[] = [];
  let counting = phase === "prefill";
  const interpreted = new ManifestRun(program.manifest, program.kernelPrograms, (name) => tensors.get(name), {
    ...{ batch, context, slice: prompt },
    countOf: (call) => {
      if (!counting) return undefined;
      calls.push(call);
      counts.push(new AccessCounts());
      return counts.at(-1);
    },
  });
  const ids = Array.from({ length: prompt }, (_, index) => (index * 37) % 512);
  interpreted.prefill(Array.from({ length: batch }, () => ids));
  counting = !counting;
  if (phase === "decode") interpreted.decode(new Array<number>(batch).fill(5));
  const weights = planWeights(program.manifest, limits);
  const n = phase === "prefill" ? prompt : prompt + 1;
  return { works: countWork({ program, shape: interpreted.shape, weights, phase, n, calls }), counts, program };
}

/** Bytes of a call's bindings of some roles that were loaded at least once. */
function touched({ program, works, counts }: CountedRun, at: number, roles: readonly string[]): number {
  const { bindings } = program.manifest.kernels.find(({ name }) => name === works[at]!.call.kernel)!;
  return bindings
    .filter(({ role, name }) => roles.includes(role) && counts[at]!.buffers.includes(name))
    .reduce((total, { name, lanes, element }) => {
      const { loadsOfElement } = counts[at]!.of(name);
      return total + loadsOfElement.reduce((sum, loads) => sum + (loads > 0 ? bytesOf(element) * lanes : 0), 0);
    }, 0);
}

/** Bytes that a call stores to its bindings of a role. */
function stored({ program, works, counts }: CountedRun, at: number, of: string): number {
  const { bindings } = program.manifest.kernels.find(({ name }) => name === works[at]!.call.kernel)!;
  return bindings
    .filter(({ role, name }) => role === of && counts[at]!.buffers.includes(name))
    .reduce((total, { name }) => total + counts[at]!.of(name).storedBytes, 0);
}

/** Loads and bytes are counted in elements, of which a scale has half the bytes of the others. */
const bytesOf = (element: string) => (element === "bf16" ? 2 : 4);

const variants: readonly Repetition[] = [
  { variant: "vanilla", copies: 1, window: 0, chunk: 1 },
  { variant: "naive", copies: 2, window: 0, chunk: 1 },
  { variant: "phd", copies: 4, window: 0, chunk: 1 },
  { variant: "phd-swa", copies: 3, window: 7, chunk: 1 },
  { variant: "phd-cswa", copies: 3, window: 8, chunk: 16 },
  { variant: "phd-cswa", copies: 16, window: 16, chunk: 32 },
];

describe.each(variants)("the bytes of $variant with K = $copies", (repetition) => {
  it("are in a decode step every weight and every live key that kernels load", async () => {
    const counted = await run(repetition, "decode");
    for (const [at, { call, bytes }] of counted.works.entries()) {
      expect([call.step, bytes.weights]).toEqual([call.step, touched(counted, at, ["weight"])]);
      if (call.kernel.includes("decode_attention")) {
        const moved = touched(counted, at, ["cache"]) + stored(counted, at, "cache");
        expect([call.step, call.layer, bytes.caches]).toEqual([call.step, call.layer, moved]);
      }
    }
  });

  it("are in a prefill every weight that kernels load", async () => {
    const counted = await run(repetition, "prefill");
    for (const [at, { call, bytes }] of counted.works.entries()) {
      expect([call.step, bytes.weights]).toEqual([call.step, touched(counted, at, ["weight"])]);
    }
  });
});

it("counts keys of every sequence of a batch, and weights once for all", async () => {
  const repetition = { variant: "phd-cswa", copies: 3, window: 8, chunk: 16 } as const;
  const [one, three] = [await run(repetition, "decode"), await run(repetition, "decode", { batch: 3 })];
  const [single, batch] = [sumBytes(one.works), sumBytes(three.works)];
  expect(batch.caches).toBe(3 * single.caches);
  // Only the embedding of the new token is read per sequence, one row for all of its copies.
  expect(batch.weights - single.weights).toBe(2 * 64 * 4);
  expect(totalBytes(batch)).toBe(batch.weights + batch.caches + batch.activations);
});

describe.each([4, 8] as const)("weights of %d bits", (bits) => {
  const repetition = { variant: "phd-cswa", copies: 3, window: 8, chunk: 16 } as const;
  const quantise = { bits, group: 32 } as const;

  it("count with their scales, as kernels load them", async () => {
    const counted = await run(repetition, "decode", { quantise });
    for (const [at, { call, bytes }] of counted.works.entries()) {
      expect([call.step, bytes.weights]).toEqual([call.step, touched(counted, at, ["weight"])]);
    }
  });

  it("are multiplied as often as floats", async () => {
    const flops = async (options: RunOptions) =>
      (await run(repetition, "decode", options)).works.reduce((total, work) => total + work.flops, 0);
    expect(await flops({ quantise })).toBe(await flops({}));
  });
});
