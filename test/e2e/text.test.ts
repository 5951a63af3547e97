/** Trained models continue texts token for token as their references do, on every device. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { loadTokenizer } from "../../src/runtime/node/tokenizer.js";
import { readTensors } from "../cli/read-tensors.js";
import { runCli, scratchFolder } from "../cli/run-cli.js";
import { haveStories, sharedModels } from "./shared.js";

const scratch = scratchFolder();
const bundled = fileURLToPath(new URL("../../examples/models", import.meta.url));
const devices = ["cpu", "webgpu"] as const;

interface Run {
  readonly ids: readonly number[];
  readonly text: string;
}

/** What `phdc run` continues a prompt with, as ids and as text. */
async function continuation(folder: string, prompt: string, tokens: number, device: string): Promise<Run> {
  const model = join(scratch, "model.phd");
  expect((await runCli(["import", folder, "-o", model])).code).toBe(0);
  const args = ["run", model, "--weights", folder, "--prompt", prompt, "--max-tokens", String(tokens)];
  const { code, stdout, stderr } = await runCli([...args, "--device", device, "--dtype", "f32", "--json"]);
  expect({ code, stderr, failure: code === 0 ? "" : stdout }).toEqual({ code: 0, stderr: "", failure: "" });
  const [first] = (JSON.parse(stdout) as { continuations: Run[] }).continuations;
  return first!;
}

async function goldenIds(folder: string, name: string): Promise<readonly number[]> {
  const tensors = await readTensors(join(folder, "golden.safetensors"));
  return Array.from(tensors.get(name)!.values);
}

describe.each(devices)("on %s", (device) => {
  it.each(["shakespeare-vanilla", "shakespeare-phd-cswa-2-16-32", "shakespeare-phd-cswa-3-16-32"])(
    "%s goes on from ROMEO as its reference does",
    async (name) => {
      const folder = join(bundled, name);
      const ids = await goldenIds(folder, "input_ids");
      const prompt = "ROMEO:\n";
      const run = await continuation(folder, prompt, ids.length - prompt.length, device);
      expect(run.ids).toEqual(ids.slice(prompt.length));
      expect(prompt + run.text).toBe((await loadTokenizer(folder)).decode(ids));
    },
  );

  describe.skipIf(!haveStories)("stories260k", () => {
    const folder = join(sharedModels, "stories260k");
    it.each([
      ["empty.input_ids", ""],
      ["zoo.input_ids", "Tim and Mia went to the zoo."],
    ])("tells %s token for token", async (name, prompt) => {
      const ids = await goldenIds(folder, name);
      const start = (await loadTokenizer(folder)).encode(prompt).length;
      expect((await continuation(folder, prompt, ids.length - start, device)).ids).toEqual(ids.slice(start));
    });
  });
});

it("continues prompts of different lengths side by side as it continues each alone", async () => {
  const folder = join(bundled, "shakespeare-phd-cswa-2-16-32");
  const model = join(scratch, "batch.phd");
  await runCli(["import", folder, "-o", model]);
  // One ends at the edge of a chunk of 32, one inside of one, one in the next.
  const prompts = ["ROMEO:\n", "First Citizen:\nBefore we proceed", "KING HENRY:\nWhat say you to that, my lord?\n"];
  const args = ["run", model, "--weights", folder, "--max-tokens", "40", "--dtype", "f32", "--json"];
  const texts = async (device: string, given: readonly string[]) => {
    const { stdout } = await runCli([...args, "--device", device, ...given.flatMap((prompt) => ["--prompt", prompt])]);
    return (JSON.parse(stdout) as { continuations: Run[] }).continuations.map(({ text }) => text);
  };
  const alone: string[] = [];
  for (const prompt of prompts) alone.push(...(await texts("cpu", [prompt])));
  expect(await texts("cpu", prompts)).toEqual(alone);
  expect(await texts("webgpu", prompts)).toEqual(alone);
});

describe("a run", () => {
  const folder = join(bundled, "shakespeare-phd-cswa-2-16-32");
  const model = join(scratch, "shakespeare.phd");
  const run = (...args: string[]) => runCli(["run", model, "--weights", folder, "--device", "cpu", ...args]);

  beforeAll(async () => {
    await runCli(["import", folder, "-o", model]);
  });

  it("prints the continuation and nothing else", async () => {
    const { code, stdout, stderr } = await run("--prompt", "ROMEO:\n", "--max-tokens", "12");
    expect({ code, stdout, stderr }).toMatchInlineSnapshot(`
      {
        "code": 0,
        "stderr": "",
        "stdout": "I will not t",
      }
    `);
  });

  it("prints the continuations of several prompts in their order", async () => {
    const alone = await run("--prompt", "JULIET:\n", "--max-tokens", "12");
    const { code, stdout } = await run("--prompt", "ROMEO:\n", "--prompt", "JULIET:\n", "--max-tokens", "12");
    expect(code).toBe(0);
    expect(stdout.split("\n---\n")[1]).toBe(alone.stdout);
  });

  it("samples the same text for the same seed, and another for another", async () => {
    const args = ["--prompt", "ROMEO:\n", "--max-tokens", "12", "--temperature", "1", "--top-k", "20"];
    const [first, again, other] = [
      await run(...args, "--seed", "1"),
      await run(...args, "--seed", "1"),
      await run(...args, "--seed", "2"),
    ];
    expect(again.stdout).toBe(first!.stdout);
    expect(other!.stdout).not.toBe(first!.stdout);
  });

  it("ends with a typed error, after what fits, when the context is full", async () => {
    const { code, stdout, stderr } = await run("--prompt", "ROMEO:\n", "--context", "10", "--max-tokens", "20");
    expect({ code, stdout, stderr }).toMatchInlineSnapshot(`
      {
        "code": 1,
        "stderr": "error[PHD0706]: The context holds 10 positions and 11 are needed
      Hint: Give --context a larger number.
      ",
        "stdout": "I wi",
      }
    `);
  });

  it("warns when the weights were made for another relation, and goes by the model", async () => {
    const other = join(bundled, "shakespeare-phd-cswa-3-16-32");
    const args = ["run", model, "--weights", other, "--device", "cpu", "--prompt", "ROMEO:\n", "--max-tokens", "1"];
    const { code, stderr } = await runCli(args);
    expect(code).toBe(0);
    expect(stderr.replaceAll(bundled, "models")).toMatchInlineSnapshot(`
      "warning[PHD0908]: The phd block in models/shakespeare-phd-cswa-3-16-32/config.json says repeat 3, the model says 2
      Hint: The .phd file decides. Import the folder again if the block is right.
      "
    `);
  });

  it("names the tensor that does not fit the model", async () => {
    const { code, stderr } = await run("--set", "ffn=385", "--prompt", "x");
    expect({ code, stderr }).toMatchInlineSnapshot(`
      {
        "code": 1,
        "stderr": "error[PHD0615]: Tensor model.layers.0.mlp.gate_proj.weight has shape [384, 128] where the model has [385, 128] (and likewise in 3 more layers)
        std/nn.phd:5:24
      5 |   let gate = linear(x, weight "mlp.gate_proj" [ffn, dim])
        |                        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ the model asks for it here

      error[PHD0615]: Tensor model.layers.0.mlp.up_proj.weight has shape [384, 128] where the model has [385, 128] (and likewise in 3 more layers)
        std/nn.phd:6:22
      6 |   let up = linear(x, weight "mlp.up_proj" [ffn, dim])
        |                      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ the model asks for it here

      error[PHD0615]: Tensor model.layers.0.mlp.down_proj.weight has shape [128, 384] where the model has [128, 385] (and likewise in 3 more layers)
        std/nn.phd:7:34
      7 |   return linear(silu(gate) * up, weight "mlp.down_proj" [dim, ffn])
        |                                  ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ the model asks for it here
      ",
      }
    `);
  });
});
