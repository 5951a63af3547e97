/** In which order a sweep measures, on the WebGPU adapter that is there. */
import { describe, expect, it } from "vitest";
import { nodeClocks } from "../../../src/bench/node/host-clocks.js";
import type { BenchReport } from "../../../src/bench/report.js";
import { runSweep } from "../../../src/bench/run-sweep.js";
import { shapeSource } from "../../../src/bench/shapes.js";
import { pointsOf } from "../../../src/bench/sweep.js";
import { openSweepDevice } from "../../../src/cli/bench-device.js";

const points = pointsOf({
  models: ["llama-2x64"],
  variant: "phd",
  copies: [1, 2],
  window: [undefined],
  chunk: [undefined],
  prompt: [4],
  batch: [1],
  dtype: ["f32"],
  quantise: ["none"],
  group: 32,
  device: ["webgpu"],
});

/** Runs the points with so much memory; gives what was done, in order. */
async function sweepWith(memory: number | undefined): Promise<{ report: BenchReport; done: string[] }> {
  const done: string[] = [];
  const report = await runSweep({
    points,
    effort: { repeat: 2, steps: 1, kernels: false, leastMs: 1, mostMs: 10, seed: 0 },
    sourceOf: ({ copies }) => {
      const made = shapeSource("llama-2x64", { variant: "phd", copies, window: 0, chunk: 1 });
      if ("wrong" in made) throw new Error("the shape does not import");
      return made;
    },
    openDevice: async (name) => {
      const { memory: _, copyBytes: __, ...opened } = await openSweepDevice(name);
      return { ...opened, copyBytes: 2 ** 20, ...(memory !== undefined && { memory }) };
    },
    clocks: nodeClocks(),
    watch: ({ copies }, what) => done.push(`K = ${copies}: ${what}`),
    machine: () => ({
      ...{ processor: "", processors: 1, memoryBytes: 0, platform: "", javascript: "" },
      load: [0, 0],
    }),
  });
  return { report, done: done.filter((what) => !what.includes("warming up")) };
}

describe("points that differ in K", () => {
  it("take turns, so that what disturbs a round disturbs all of them; one follows the other where memory is short", async () => {
    const inTurn = await sweepWith(undefined);
    expect(inTurn.done).toEqual([
      ...["K = 1: compiling", "K = 2: compiling", "K = 1: loading", "K = 2: loading"],
      ...["K = 1: round 1 of 2", "K = 2: round 1 of 2", "K = 1: round 2 of 2", "K = 2: round 2 of 2"],
      ...["K = 1: counting", "K = 2: counting"],
    ]);
    expect(inTurn.report.points.map(({ measured }) => measured)).toEqual(["in-turn", "in-turn"]);
    for (const { prefill, decode } of inTurn.report.points) {
      expect([prefill.rounds.length, decode.rounds.length, decode.ms.count]).toEqual([2, 2, 2]);
    }

    const needs = inTurn.report.points.map(({ memory }) => memory.weights + memory.caches + memory.working);
    const short = await sweepWith(Math.max(...needs));
    expect(short.done).toEqual([
      ...["K = 1: compiling", "K = 2: compiling"],
      ...["K = 1: loading", "K = 1: round 1 of 2", "K = 1: round 2 of 2", "K = 1: counting"],
      ...["K = 2: loading", "K = 2: round 1 of 2", "K = 2: round 2 of 2", "K = 2: counting"],
    ]);
    expect(short.report.points.map(({ measured }) => measured)).toEqual(["alone", "alone"]);
    expect(short.report.points.map(({ decode }) => decode.bytes)).toEqual(
      inTurn.report.points.map(({ decode }) => decode.bytes),
    );

    const none = await sweepWith(Math.min(...needs) - 1);
    expect(none.report.points).toEqual([]);
    expect(none.report.skipped.map(({ reason }) => reason)).toEqual(
      needs.map((need) => `the model needs ${need} bytes and ${Math.min(...needs) - 1} are allowed`),
    );
  }, 400_000);
});
