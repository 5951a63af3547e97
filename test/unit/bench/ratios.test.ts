import { describe, expect, it } from "vitest";
import { overPlain, overSingle } from "../../../src/bench/ratios.js";
import type { PhaseReport, Point, PointReport } from "../../../src/bench/report.js";
import { summarise } from "../../../src/bench/statistics.js";

function pointWith(rounds: readonly number[], given: Partial<PointReport>): PointReport {
  const phase = { ms: summarise(rounds), rounds } as PhaseReport;
  const point: Point = { model: "m", variant: "phd", copies: 1, prompt: 8, batch: 1, dtype: "f32", device: "webgpu" };
  return { ...point, measured: "in-turn", prefill: phase, decode: phase, ...given } as PointReport;
}

describe("the time of K copies over that of one", () => {
  // The machine did something else in the rounds in the middle.
  const single = pointWith([10, 30, 40, 10], {});

  it("is that of rounds where points took turns, whatever the machine did meanwhile", () => {
    const repeated = pointWith([12, 36, 48, 12], { copies: 3 });
    expect(overSingle([single, repeated], repeated, "decode")).toBeCloseTo(1.2);
  });

  it("is that of medians where they did not", () => {
    const alone = pointWith([12, 12, 12, 12], { copies: 3, measured: "alone" });
    expect(overSingle([single, alone], alone, "decode")).toBeCloseTo(12 / 20);
  });

  it("is taken with weights of the same type, and beside it over floats", () => {
    const stored = { quantise: "int4", group: 32 } as const;
    const points = [
      single,
      pointWith([8, 24, 32, 8], stored),
      pointWith([16, 48, 64, 16], { ...stored, copies: 3 }),
      pointWith([9, 9, 9, 9], { ...stored, group: 64, copies: 3 }),
    ] as const;
    expect(overSingle(points, points[2], "prefill")).toBeCloseTo(2);
    expect(overPlain(points, points[2], "prefill")).toBeCloseTo(1.6);
    expect(overPlain(points, points[1], "prefill")).toBeCloseTo(0.8);
    expect(overSingle(points, points[3], "prefill")).toBeUndefined();
    expect(overPlain(points, single, "prefill")).toBeUndefined();
    expect(overSingle(points, single, "prefill")).toBeUndefined();
  });
});
