/** Packages with quantised weights: packed when they are compiled, or by themselves from a float checkpoint. */
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Ajv } from "ajv";
import { beforeAll, describe, expect, it } from "vitest";
import { readTensors } from "../cli/read-tensors.js";
import { runCli, scratchFolder } from "../cli/run-cli.js";
import { manifestOf } from "./package-folder.js";
import { exerciseInNode } from "./processes.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const weights = join(root, "examples/models/shakespeare-vanilla");
const scratch = scratchFolder();
const model = join(scratch, "model.phd");
const folder = join(scratch, "package");
const maxTokens = 16;
const promptText = "ROMEO:\n";

beforeAll(async () => {
  expect((await runCli(["import", weights, "-o", model])).code).toBe(0);
  const args = ["compile", model, "--weights", weights, "--quantize", "int4", "--group", "64", "-o", folder];
  expect((await runCli(args)).code).toBe(0);
});

describe("a package of 4-bit weights", () => {
  it("says so in manifests that the published schema accepts", () => {
    const schema = JSON.parse(readFileSync(join(root, "schema/manifest.schema.json"), "utf8"));
    const validate = new Ajv({ allErrors: true, strict: false }).compile(schema);
    for (const file of ["manifest.json", "selftest/manifest.json"] as const) {
      const manifest = manifestOf(folder, file);
      validate(manifest);
      expect(validate.errors ?? []).toEqual([]);
      const parts = manifest.weights.flatMap(({ quantised }) => (quantised ? [quantised] : []));
      expect(parts.filter(({ part }) => part === "values").length).toBe(5);
      expect(parts.filter(({ part }) => part === "scales").length).toBe(5);
      expect(new Set(parts.map(({ bits, group }) => `${bits} ${group}`))).toEqual(new Set(["4 64"]));
    }
  });

  it("is as small as its memory formula says, a seventh of f32", () => {
    const { weights: infos, memory } = manifestOf(folder);
    const bytes = infos.flatMap(({ packed = [] }) => packed).reduce((total, part) => total + part.bytes, 0);
    expect(bytes).toBe(memory.weights);
    const elements = 804224;
    expect(bytes).toBeLessThan((4 * elements) / 6.5);
    expect(statSync(join(folder, "weights/weights.bin")).size).toBeGreaterThanOrEqual(bytes);
  });

  it("is described by inspect", async () => {
    const { stdout } = await runCli(["inspect", folder]);
    expect(stdout).toMatch(/Products read int4 weights in groups of 64: .* instead of .* in f32\./);
  });

  it("passes its self-test, which quantises floats as it loads, and says what the interpreter says", async () => {
    const golden = await readTensors(join(weights, "golden.safetensors"));
    const prompt = Array.from(golden.get("input_ids")!.values).slice(0, promptText.length);
    const result = await exerciseInNode(folder, prompt, maxTokens);
    expect(result.test.passed, `self-test differs by ${result.test.difference}`).toBe(true);
    expect(result.test.difference).toBeLessThan(1e-4);
    const args = ["run", model, "--weights", weights, "--prompt", promptText, "--max-tokens", String(maxTokens)];
    const { stdout } = await runCli([...args, "--quantize", "int4", "--group", "64", "--device", "cpu", "--json"]);
    const { continuations } = JSON.parse(stdout) as { continuations: { ids: number[] }[] };
    expect(result.ids).toEqual(continuations[0]!.ids);
  }, 400_000);
});
