/** Every golden model from graph to manifest, executed by the kernel interpreter: the compiler's whole second half. */
import { describe, expect, it } from "vitest";
import { ManifestRun } from "../../src/interpret/kernel/run-manifest.js";
import { goldenCases, loadGolden } from "../support/golden.js";
import { scheduleGraph } from "../support/scheduled.js";
import { buildTransformer } from "../support/transformer.js";

// Asked of every device. The kernels sum in f32 and stay a hundred times below.
const tolerance = 2e-3;
/** Decode steps: enough for every ring to wrap and a chunk to end. The devices' own tests go through the whole text. */
const steps = 10;
/** Huge where it is read, and zero where it is masked: see poison.ts of the run time. */
const poison = 1e30;

describe.skipIf(goldenCases.length === 0)("golden models on the kernel interpreter", () => {
  it.each(goldenCases)("%s: a prompt in slices, then token by token, gives the golden logits", async (name) => {
    const { shape, weights, ids, logits } = await loadGolden(name);
    const { manifest, kernels } = scheduleGraph(buildTransformer(shape));
    const prompt = Math.floor(ids.length / 2);
    const options = { context: ids.length, slice: Math.ceil(prompt / 2), splits: 3, poison };
    const run = new ManifestRun(manifest, kernels, (tensor) => weights(tensor).data, options);
    const predictions = [run.prefill([ids.slice(0, prompt)])];
    for (const id of ids.slice(prompt, prompt + steps)) predictions.push(run.decode([id]));
    for (const [step, [prediction]] of predictions.entries()) {
      const at = (prompt - 1 + step) * shape.vocab;
      const golden = logits.subarray(at, at + shape.vocab);
      expect(largestDifference(prediction!, golden), `position ${prompt - 1 + step}`).toBeLessThan(tolerance);
    }
  });

  it("phd-cswa-3-16-32-olmo2: eight sequences, in two blocks of rows, all give the golden logits", async () => {
    const { shape, weights, ids, logits } = await loadGolden("phd-cswa-3-16-32-olmo2");
    const { manifest, kernels } = scheduleGraph(buildTransformer(shape));
    const prompts = [31, 1, 32, 33, 7, 40, 16, 2];
    const options = { batch: prompts.length, context: ids.length, splits: 2, poison };
    const run = new ManifestRun(manifest, kernels, (tensor) => weights(tensor).data, options);
    run.prefill(prompts.map((length) => ids.slice(0, length)));
    for (const step of [0, 1]) {
      const predictions = run.decode(prompts.map((length) => ids[length + step]!));
      for (const [sequence, length] of prompts.entries()) {
        const at = (length + step) * shape.vocab;
        const golden = logits.subarray(at, at + shape.vocab);
        expect(largestDifference(predictions[sequence]!, golden), `sequence ${sequence}`).toBeLessThan(tolerance);
      }
    }
  });
});

function largestDifference(actual: Float32Array, expected: Float32Array): number {
  let worst = 0;
  for (const [index, value] of expected.entries()) {
    const difference = Math.abs(actual[index]! - value);
    if (!(difference <= worst)) worst = difference;
  }
  return worst;
}
