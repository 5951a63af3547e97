/** `phdc bench`, on models small enough for a software adapter. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Ajv } from "ajv";
import { beforeAll, describe, expect, it } from "vitest";
import { countWork, sumBytes } from "../../src/bench/count-work.js";
import type { BenchReport, PointReport } from "../../src/bench/report.js";
import { shapeSource } from "../../src/bench/shapes.js";
import { compileSource } from "../../src/compile.js";
import { planWeights } from "../../src/runtime/packing.js";
import { decodeContext } from "../../src/runtime/phase-context.js";
import { callsOfPhase, callsOfSampling } from "../../src/runtime/program.js";
import { shapeSession } from "../../src/runtime/shape.js";
import { missingCompiler } from "../unit/cuda/emulator.js";
import { type CliResult, runCli, scratchFolder } from "./run-cli.js";

const scratch = scratchFolder();
const json = join(scratch, "report.json");
const html = join(scratch, "report.html");

const small = ["bench", "llama-2x64", "--repeat", "2", "--steps", "2"];

let result: CliResult;
let report: BenchReport;

beforeAll(async () => {
  const sweep = ["--copies", "1,3", "--prompt", "8,40", "--no-kernels"];
  result = await runCli([...small, ...sweep, "-o", json, "--html", html]);
  expect(result.stderr).toBe("");
  report = JSON.parse(readFileSync(json, "utf8")) as BenchReport;
}, 400_000);

function pointOf(copies: number, prompt: number): PointReport {
  return report.points.find((point) => point.copies === copies && point.prompt === prompt)!;
}

describe("a sweep", () => {
  it("measures every point and prints a line for each", () => {
    expect(result.code).toBe(0);
    const sizes = report.points.map(({ copies, prompt, variant, window }) => [copies, prompt, variant, window]);
    expect(sizes).toEqual([
      [1, 8, "vanilla", undefined],
      [1, 40, "vanilla", undefined],
      [3, 8, "phd-cswa", 16],
      [3, 40, "phd-cswa", 16],
    ]);
    expect(result.stdout.match(/^llama-2x64 /gm)).toHaveLength(4);
  });

  it("writes a report that the published schema accepts", () => {
    const schema = JSON.parse(readFileSync(new URL("../../schema/bench.schema.json", import.meta.url), "utf8"));
    const validate = new Ajv({ allErrors: true, strict: false }).compile(schema);
    validate(report);
    expect(validate.errors ?? []).toEqual([]);
    expect(validate({ ...report, version: 0 })).toBe(false);
    expect(validate({ ...report, devices: [{}] })).toBe(false);
  });

  it("says on what it was measured, and that a software adapter is no GPU", () => {
    const [device] = report.devices;
    expect(device).toMatchObject({ device: "webgpu" });
    expect(device!.floor.copyBytesPerSecond.median).toBeGreaterThan(1e6);
    expect(device!.floor.flopsPerSecond.median).toBeGreaterThan(1e6);
    if (device!.software) {
      expect(result.stdout).toContain("which computes on the CPU");
      expect(readFileSync(html, "utf8")).toContain("say nothing about a GPU");
    }
    expect(report.machine.javascript).toContain(process.version);
    expect(Number.isNaN(Date.parse(report.date))).toBe(false);
  });

  it("takes longer than nothing, and no less than the spread it shows", () => {
    for (const { prefill, decode, loadMs, firstTokenMs, compileMs } of report.points) {
      for (const { median, lowerQuartile, upperQuartile, count } of [prefill.ms, decode.ms, compileMs]) {
        expect(median).toBeGreaterThan(0);
        expect(lowerQuartile).toBeLessThanOrEqual(median);
        expect(upperQuartile).toBeGreaterThanOrEqual(median);
        expect(count).toBeGreaterThanOrEqual(2);
      }
      expect(Math.min(loadMs, firstTokenMs)).toBeGreaterThan(0);
      expect(decode.timesFloor).toBeCloseTo(decode.ms.median / decode.floorMs);
    }
  });

  it("counts the plan that ran", () => {
    for (const copies of [1, 3]) {
      const made = shapeSource("llama-2x64", {
        variant: copies === 1 ? "vanilla" : "phd-cswa",
        copies,
        window: 16,
        chunk: 32,
      });
      if ("wrong" in made) throw new Error("the shape does not import");
      const program = compileSource(made.source, { target: "webgpu", dtype: "f32" }).program!;
      const limits = { maxBufferSize: 2 ** 30, maxStorageBufferBindingSize: 2 ** 30 };
      const { decode, memory } = pointOf(copies, 40);
      const shape = shapeSession(program.manifest, { context: 64 }, limits);
      const weights = planWeights(program.manifest, limits);
      const context = decodeContext({ manifest: program.manifest, weights }, shape);
      const sampling = callsOfSampling(context, { temperature: 0, topK: 0, topP: 1, seed: 0 });
      const calls = [...callsOfPhase(context, { head: true }), ...sampling];
      const works = countWork({ program, shape, weights, phase: "decode", n: decode.n, calls });
      expect(decode.dispatches).toBe(calls.length);
      expect(decode.submissions).toBe(1);
      expect(decode.bytes.weights).toBe(sumBytes(works).weights);
      expect(decode.bytes.caches).toBe(sumBytes(works).caches);
      expect(decode.flops).toBe(works.reduce((total, { flops }) => total + flops, 0));
      // In every layer but the last, whose hidden rows need keys only, all K rows pass.
      expect(decode.rows).toBe(2 * copies);
      expect(memory.weights).toBeGreaterThan(sumBytes(works).weights - 1e5);
      expect(decode.dispatchesPerLayer).toBeLessThanOrEqual(6);
    }
  });

  it("reads the weights once whatever K is", () => {
    const [single, repeated] = [pointOf(1, 40), pointOf(3, 40)];
    expect(repeated.decode.bytes.weights).toBe(single.decode.bytes.weights);
    // A product whose columns are computed for different rows reads the scale of its norm, 64 floats, for each of them.
    expect(repeated.prefill.bytes.weights - single.prefill.bytes.weights).toBeLessThanOrEqual(2 * 64 * 4);
  });

  it("allocates as much for a token of a long text as for one of a short text", () => {
    for (const { host, prompt } of report.points) {
      expect(host.msPerToken.median).toBeGreaterThan(0);
      const [short, long] = host.heap!;
      if (prompt < 40) continue;
      expect(long!.n).toBeGreaterThan(3 * short!.n);
      // A byte per position would be 36 more; what varies is what the engine keeps beside.
      expect(long!.bytesPerToken).toBeLessThan(1.5 * short!.bytesPerToken + 2000);
    }
  });

  it("draws charts on a page that needs nothing else", () => {
    const page = readFileSync(html, "utf8");
    for (const title of [
      "Time of a decode step against K, over that of K = 1",
      "Time of prefill of the prompt against K, over that of K = 1",
      "Time of a decode step against K",
      "Time of prefill of the prompt against n",
    ]) {
      expect(page).toContain(`<figcaption>${title}</figcaption>`);
    }
    expect(page.match(/<svg /g)!.length).toBeGreaterThanOrEqual(5);
    expect(page).toContain("prefers-color-scheme: dark");
    expect(page).toContain("×1.18");
    expect(page).not.toMatch(/(src|href)=|NaN|undefined|Infinity/);
    const opened = (name: string) => page.match(new RegExp(`<${name}[ >]`, "g"))?.length ?? 0;
    for (const name of ["svg", "table", "figure", "tr", "td", "text", "details"]) {
      expect([name, page.match(new RegExp(`</${name}>`, "g"))?.length ?? 0]).toEqual([name, opened(name)]);
    }
  });
});

it("times every kernel of a step, each with what it moves and what it is held against", async () => {
  const out = join(scratch, "kernels.json");
  const page = join(scratch, "kernels.html");
  const { code } = await runCli([...small, "--copies", "2", "--prompt", "8", "-o", out, "--html", page]);
  expect(code).toBe(0);
  const [point] = (JSON.parse(readFileSync(out, "utf8")) as BenchReport).points;
  const kernels = point!.kernels!;
  for (const phase of ["prefill", "decode"] as const) {
    const own = kernels.filter((kernel) => kernel.phase === phase);
    expect(own.reduce((total, { calls }) => total + calls, 0)).toBeGreaterThan(8);
    for (const { us, bytes, totalMs, calls, weightCopies } of own) {
      expect(us.median).toBeGreaterThan(0);
      expect(totalMs).toBeCloseTo((us.median * calls) / 1000);
      expect(weightCopies).toBeGreaterThanOrEqual(1);
      if (bytes.weights === 0) expect(weightCopies).toBe(1);
    }
  }
  expect(kernels.map(({ totalMs }) => totalMs)).toEqual(kernels.map(({ totalMs }) => totalMs).sort((a, b) => b - a));
  expect(readFileSync(page, "utf8")).toContain("Roofline");
}, 400_000);

it("measures quantised weights beside floats, with fewer bytes and as much arithmetic", async () => {
  const out = join(scratch, "quantised.json");
  const page = join(scratch, "quantised.html");
  const sweep = ["--copies", "1,2", "--quantize", "none,int8,int4", "--group", "64", "--prompt", "4", "--no-kernels"];
  const quick = ["--repeat", "1", "--steps", "1", "-o", out, "--html", page];
  const { code, stdout } = await runCli([...small.slice(0, 2), ...quick, ...sweep]);
  expect(code).toBe(0);
  const rows = stdout.split("\n").filter((line) => line.startsWith("llama-2x64 "));
  expect(rows.map((row) => /f32(?: \+ \S+)?/.exec(row)?.[0])).toEqual([
    ...["f32", "f32 + int8/64", "f32 + int4/64"],
    ...["f32", "f32 + int8/64", "f32 + int4/64"],
  ]);
  expect(stdout).toMatch(/first token .*×K=1 .*×floats/);
  expect(readFileSync(page, "utf8")).toContain("<th>×floats</th>");

  const { points } = JSON.parse(readFileSync(out, "utf8")) as BenchReport;
  const [floats, int8, int4] = points as [PointReport, PointReport, PointReport];
  expect(points.map(({ measured }) => measured)).toEqual(points.map(() => "in-turn"));
  expect(int4).toMatchObject({ quantise: "int4", group: 64, decode: { flops: floats.decode.flops } });
  expect(int8.decode.bytes.weights).toBeLessThan(0.35 * floats.decode.bytes.weights);
  expect(int4.decode.bytes.weights).toBeLessThan(0.65 * int8.decode.bytes.weights);
}, 400_000);

it("takes a model of the user's own, with other values of its parameters", async () => {
  const source = shapeSource("llama-2x64", { variant: "phd-swa", copies: 2, window: 4, chunk: 1 });
  if ("wrong" in source) throw new Error("the shape does not import");
  const file = join(scratch, "mine.phd");
  writeFileSync(file, source.source.text);
  const own = ["--repeat", "1", "--steps", "1", "--prompt", "4", "--no-kernels", "--json"];
  const { code, stdout } = await runCli(["bench", file, "--copies", "3", "--set", "layers=1", ...own]);
  expect(code).toBe(0);
  const [point] = (JSON.parse(stdout) as BenchReport).points;
  expect(point).toMatchObject({ model: file, variant: "own", copies: 3, prompt: 4 });
  expect(point!.decode.rows).toBe(3);
}, 400_000);

describe.skipIf(missingCompiler !== undefined)("a sweep on the emulated CUDA device", () => {
  it("stays within the memory that a session has, and counts as on any other device", async () => {
    const sweep = [
      "--device",
      "cuda-emulated",
      "--dtype",
      "f16",
      "--copies",
      "2",
      "--prompt",
      "4",
      "--no-kernels",
      "--json",
    ];
    const { code, stdout, stderr } = await runCli(["bench", "llama-2x64", "--repeat", "1", "--steps", "1", ...sweep]);
    // The emulator ends a kernel that touches what it may not.
    expect(stderr).toBe("");
    expect(code).toBe(0);
    const { devices, points } = JSON.parse(stdout) as BenchReport;
    expect(devices[0]).toMatchObject({ device: "cuda-emulated", software: true });
    expect(devices[0]!.floor.matrixFlopsPerSecond!.median).toBeGreaterThan(0);
    expect(points[0]).toMatchObject({ dtype: "f16", decode: { submissions: 1 } });
    // Weights in 16 bits are half of those in 32, but for the norms.
    expect(points[0]!.decode.bytes.weights / pointOf(3, 40).decode.bytes.weights).toBeCloseTo(0.5, 1);
  }, 400_000);
});

describe("what cannot be measured", () => {
  const quick = ["--repeat", "1", "--steps", "1", "--prompt", "4", "--no-kernels"];

  it("is skipped with the reason, and the rest is measured", async () => {
    const sweep = ["--copies", "1", "--dtype", "f32,bf16", "--json", ...quick];
    const { code, stdout, stderr } = await runCli([...small, ...sweep]);
    expect(code).toBe(0);
    const { points, skipped } = JSON.parse(stdout) as BenchReport;
    expect(points.map(({ dtype }) => dtype)).toEqual(["f32"]);
    expect(skipped.map(({ dtype }) => dtype)).toEqual(["bf16"]);
    expect(skipped[0]!.reason).toContain("bf16");
    expect(stderr).toContain("Skipped llama-2x64, vanilla K = 1, n = 4, batch 1, bf16 on webgpu");
  }, 400_000);

  it("is not asked for when it cannot fit, and the figures say why", async () => {
    const sweep = ["--copies", "1", "--batch", "1024", "--json", ...quick, "--prompt", "20000"];
    const { code, stdout } = await runCli([...small, ...sweep]);
    expect(code).toBe(1);
    const { points, skipped } = JSON.parse(stdout) as BenchReport;
    expect(points).toEqual([]);
    expect(skipped[0]!.reason).toMatch(/needs \d+ bytes in one buffer and the device allows \d+/);
  }, 400_000);
});

describe("a command line that makes no sense", () => {
  it.each([
    [["bench", "llama-9x9"], "a .phd file or one of llama-2x64"],
    [["bench", "--copies", "1,x"], "whole number from 1"],
    [["bench", "--copies", "0"], "whole number from 1"],
    [["bench", "--prompt", ""], "whole number from 1"],
    [["bench", "--device", "webgpu,quantum"], "must be one of webgpu"],
    [["bench", "--dtype", "int2"], "must be one of f32"],
    [["bench", "--quantize", "int2"], "must be one of none, int8, int4"],
    [["bench", "--group", "64"], "--group is for --quantize int8 or int4"],
    [["bench", "--repeat", "0"], "whole number from 1"],
  ])("is refused before anything is measured: %j", async (args, message) => {
    const { code, stdout, stderr } = await runCli(args);
    expect(code).toBe(2);
    expect(stdout).toBe("");
    expect(stderr).toContain(message);
  });

  it("is refused for a model that does not have what is set, and leaves no file", async () => {
    const file = join(scratch, "no-window.phd");
    const source = shapeSource("llama-2x64", { variant: "phd", copies: 2, window: 0, chunk: 1 });
    if ("wrong" in source) throw new Error("the shape does not import");
    writeFileSync(file, source.source.text);
    const out = join(scratch, "refused.json");
    const { code, stderr } = await runCli(["bench", file, "--window", "4", "-o", out]);
    expect(code).toBe(1);
    expect(stderr).toContain("W");
    expect(existsSync(out)).toBe(false);
  });

  it("leaves nothing half-written where the report cannot be written", async () => {
    const out = join(scratch, "report.json", "inside-a-file.json");
    const quick = ["--copies", "1", "--repeat", "1", "--steps", "1", "--prompt", "4", "--no-kernels", "-o", out];
    const { code, stderr } = await runCli([...small.slice(0, 2), ...quick]);
    expect(code).toBe(1);
    expect(stderr).toContain("cannot be written");
    expect(readdirSync(scratch).filter((name) => name.includes(".tmp"))).toEqual([]);
  }, 400_000);
});
