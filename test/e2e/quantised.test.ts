/** Weights of 8 and 4 bits through the command line's own path, on every device; `bench/quantised.mjs` measures more text. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { readSource } from "../../src/cli/files.js";
import { openModel } from "../../src/cli/open-model.js";
import { MemoryTerminal } from "../../src/cli/terminal.js";
import { loadTokenizer } from "../../src/runtime/node/tokenizer.js";
import { perplexity, type Surprise, surprise } from "../../src/verify/surprise.js";
import { readTensors } from "../cli/read-tensors.js";
import { runCli, scratchFolder } from "../cli/run-cli.js";
import { haveStories, sharedModels } from "./shared.js";

const scratch = scratchFolder();
const bundled = fileURLToPath(new URL("../../examples/models", import.meta.url));
const textFile = fileURLToPath(new URL("../../../shared/data/tinyshakespeare.txt", import.meta.url));
const haveText = existsSync(textFile);
if (!haveText) console.warn("../shared/data is absent: perplexities are not tested");

type Format = { readonly quantize?: "int8" | "int4" };

async function foretell(
  folder: string,
  device: "webgpu" | "cpu",
  format: Format,
  texts: readonly (readonly number[])[],
): Promise<Surprise[]> {
  const terminal = new MemoryTerminal();
  const file = join(scratch, "model.phd");
  expect((await runCli(["import", folder, "-o", file])).code).toBe(0);
  const options = { weights: folder, device, dtype: "f32", set: {}, json: true, ...format } as const;
  const model = await openModel(terminal, await readSource(terminal, file), options);
  const size = { batch: texts.length, context: texts[0]!.length };
  try {
    await model.load(size);
    const session = await model.openSession(size);
    try {
      return await surprise(session, texts);
    } finally {
      session.close();
    }
  } finally {
    await model.close();
  }
}

describe.skipIf(!haveText)("on Shakespeare's validation text", () => {
  let texts: number[][] = [];
  beforeAll(async () => {
    const tokenizer = await loadTokenizer(join(bundled, "shakespeare-vanilla"));
    const ids = tokenizer.encode(readFileSync(textFile, "utf8"));
    // Training left out the last tenth.
    const validation = ids.slice(Math.floor(0.9 * ids.length));
    texts = Array.from({ length: 4 }, (_, index) => [...validation.slice(index * 27000, index * 27000 + 41)]);
  });

  it.each(["shakespeare-vanilla", "shakespeare-phd-cswa-2-16-32", "shakespeare-phd-cswa-3-16-32"])(
    "%s loses at most 0.5 % with 8 bits and 4 % with 4 bits, and kernels and interpreter lose the same",
    async (name) => {
      const folder = join(bundled, name);
      const plain = perplexity(await foretell(folder, "cpu", {}, texts));
      for (const [quantize, limit] of [
        ["int8", 0.005],
        ["int4", 0.04],
      ] as const) {
        const exact = perplexity(await foretell(folder, "cpu", { quantize }, texts));
        const onDevice = perplexity(await foretell(folder, "webgpu", { quantize }, texts));
        expect(onDevice / plain - 1).toBeLessThanOrEqual(limit);
        // Rounding in f32 is far below what the integers change.
        expect(Math.abs(onDevice / exact - 1)).toBeLessThan(1e-5);
        expect(exact).not.toBe(plain);
      }
    },
    240_000,
  );
});

describe.skipIf(!haveStories)("stories260k, whose head shares the embedding's table,", () => {
  const folder = join(sharedModels, "stories260k");

  it("keeps to the likeliest token with 8 bits, and mostly with 4, on both devices", async () => {
    const golden = await readTensors(join(folder, "golden.safetensors"));
    const ids = Array.from(golden.get("zoo.input_ids")!.values);
    const [plain] = await foretell(folder, "cpu", {}, [ids]);
    const agreement = ({ likeliest }: Surprise) =>
      likeliest.filter((id, at) => id === plain!.likeliest[at]).length / likeliest.length;
    for (const [quantize, least] of [
      ["int8", 0.97],
      ["int4", 0.8],
    ] as const) {
      const [exact] = await foretell(folder, "cpu", { quantize }, [ids]);
      const [onDevice] = await foretell(folder, "webgpu", { quantize }, [ids]);
      expect(agreement(onDevice!)).toBeGreaterThanOrEqual(least);
      expect(onDevice!.likeliest).toEqual(exact!.likeliest);
    }
  });

  it("passes verify with 4 bits, operation by operation", async () => {
    const model = join(scratch, "stories.phd");
    await runCli(["import", folder, "-o", model]);
    const args = ["verify", model, "--weights", folder, "--device", "webgpu", "--dtype", "f32", "--tokens", "12"];
    const { code, stdout } = await runCli([...args, "--quantize", "int4", "--group", "16"]);
    expect(stdout).toContain("They agree.");
    expect(code).toBe(0);
  });
});

describe("a group without quantisation", () => {
  it("is refused with a way out", async () => {
    const folder = join(bundled, "shakespeare-vanilla");
    const model = join(scratch, "plain.phd");
    await runCli(["import", folder, "-o", model]);
    const { code, stderr } = await runCli(["compile", model, "--emit", "manifest", "--group", "32"]);
    expect(code).toBe(2);
    expect(stderr).toContain("--group is for --quantize int8 or int4");
  });
});
