/** `phdc tune` and `--tuned`, on the software adapter with a model that is small enough for it. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runCli, scratchFolder } from "./run-cli.js";

const scratch = scratchFolder();
const cache = join(scratch, "cache");
const weights = fileURLToPath(new URL("../../examples/models/shakespeare-vanilla", import.meta.url));
const model = join(scratch, "model.phd");
const before = process.env["XDG_CACHE_HOME"];
const effort = ["--device", "webgpu", "--dtype", "f32", "--prompt", "5", "--repeat", "2", "--steps", "2"];

beforeAll(async () => {
  process.env["XDG_CACHE_HOME"] = cache;
  expect((await runCli(["import", weights, "-o", model])).code).toBe(0);
});

afterAll(() => {
  if (before === undefined) delete process.env["XDG_CACHE_HOME"];
  else process.env["XDG_CACHE_HOME"] = before;
});

const files = () => readdirSync(join(cache, "phdc")).filter((name) => name.startsWith("tuning-"));
const compile = (...more: readonly string[]) => runCli(["compile", model, "--emit", "manifest", ...more]);

interface Report {
  readonly file: string;
  readonly trials: readonly { readonly parameter: string; readonly measured?: object }[];
  readonly tuning: Readonly<Record<string, number>>;
}

describe("phdc tune", () => {
  it("measures, stores one file for the adapter, and --tuned compiles with it", async () => {
    const missing = await compile("--tuned");
    expect(missing.stderr).toContain("Nothing is tuned for");
    expect(missing.stdout).toBe((await compile()).stdout);

    const { code, stdout, stderr } = await runCli(["tune", model, ...effort, "--parameters", "keysPerSplit", "--json"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const report = JSON.parse(stdout) as Report;
    expect(report.trials.map(({ parameter }) => parameter)).toEqual(["keysPerSplit", "keysPerSplit", "keysPerSplit"]);
    expect(report.trials.every(({ measured }) => measured !== undefined)).toBe(true);
    expect(files().map((name) => join(cache, "phdc", name))).toEqual([report.file]);

    // Whatever was fastest here and now: write down another choice, and see it taken.
    const stored = JSON.parse(readFileSync(report.file, "utf8")) as { tuning: Record<string, number> };
    stored.tuning["keysPerSplit"] = 64;
    writeFileSync(report.file, JSON.stringify(stored));
    const tuned = await compile("--tuned");
    expect(tuned.stderr).toBe("");
    const { constants } = JSON.parse(tuned.stdout) as { constants: Record<string, number> };
    expect(constants["keys_per_split"]).toBe(64);
  }, 400_000);

  it("changes nothing without --tuned, and ignores a file that is broken, saying so", async () => {
    const plain = await compile();
    expect(plain.stderr).toBe("");
    expect((JSON.parse(plain.stdout) as { constants: object }).constants).not.toHaveProperty("keys_per_split");
    const [name] = files();
    const path = join(cache, "phdc", name!);
    writeFileSync(path, readFileSync(path, "utf8").slice(0, 40));
    const { code, stdout, stderr } = await compile("--tuned");
    expect(code).toBe(0);
    expect(stderr).toBe(`${path} is ignored: it is not JSON. Kernels keep their defaults.\n`);
    expect(stdout).toBe(plain.stdout);
  });

  it("has nothing to tune on the interpreter", async () => {
    const { code, stderr } = await runCli(["tune", model, "--device", "cpu"]);
    expect(code).toBe(2);
    expect(stderr).toContain("has no kernels to tune");
  });
});
