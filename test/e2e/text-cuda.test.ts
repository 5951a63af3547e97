/** A trained model continues texts token for token as its reference does, on the emulated CUDA device. */
import { join } from "node:path";
import { describe, expect, it, vi } from "vitest";
import { NoAdapter } from "../../src/runtime/errors.js";
import { emulatedDriver } from "../../src/runtime/node/emulated-cuda.js";
import { loadTokenizer } from "../../src/runtime/node/tokenizer.js";
import { readTensors } from "../cli/read-tensors.js";
import { runCli, scratchFolder } from "../cli/run-cli.js";
import { haveStories, sharedModels } from "./shared.js";

// Every thread of every kernel is emulated.
vi.setConfig({ testTimeout: 1_200_000 });

const missing = await emulatedDriver().then(
  () => undefined,
  (error: unknown) => {
    if (error instanceof NoAdapter) return error.message;
    throw error;
  },
);
if (missing !== undefined) console.warn(`stories on CUDA are skipped: ${missing}`);

const scratch = scratchFolder();
const folder = join(sharedModels, "stories260k");

describe.skipIf(!haveStories || missing !== undefined)("stories260k on the emulated CUDA device", () => {
  it.each([
    ["empty.input_ids", ""],
    ["zoo.input_ids", "Tim and Mia went to the zoo."],
  ])("tells %s token for token", async (name, prompt) => {
    const golden = await readTensors(join(folder, "golden.safetensors"));
    const ids = Array.from(golden.get(name)!.values);
    const start = (await loadTokenizer(folder)).encode(prompt).length;
    const model = join(scratch, "model.phd");
    expect((await runCli(["import", folder, "-o", model])).code).toBe(0);
    const tokens = ids.length - start;
    const args = ["run", model, "--weights", folder, "--prompt", prompt, "--max-tokens", String(tokens), "--json"];
    const { code, stdout, stderr } = await runCli([...args, "--device", "cuda-emulated", "--dtype", "f32"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const [story] = (JSON.parse(stdout) as { continuations: { ids: number[] }[] }).continuations;
    expect(story!.ids).toEqual(ids.slice(start));
  });
});
