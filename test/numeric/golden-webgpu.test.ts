/** Every golden case from `config.json` to logits on a WebGPU device, with memory that nobody may read poisoned. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compileSource } from "../../src/compile.js";
import { importModel } from "../../src/import/import-model.js";
import { portableCapabilities } from "../../src/ir/kernel/capabilities.js";
import { type Device, openDevice } from "../../src/runtime/device.js";
import { loadModel } from "../../src/runtime/model.js";
import { findAdapter } from "../../src/runtime/node/adapter.js";
import { openCheckpoint } from "../../src/runtime/node/open-checkpoint.js";
import { goldenCases, goldenFolder, loadGolden } from "../support/golden.js";

/** What a float32 forward pass of these sizes may differ from the float64 one. */
const tolerance = 2e-3;
/** Where the two best logits are nearer than this, either may win. */
const decided = 1e-2;

let device: Device;
beforeAll(async () => {
  device = await openDevice((await findAdapter("software")).adapter);
});
afterAll(() => device.close());

async function load(name: string) {
  const folder = join(goldenFolder, name);
  const config = { name: "config.json", text: readFileSync(join(folder, "config.json"), "utf8") };
  const { text } = importModel(config, name);
  const options = { target: "webgpu", dtype: "f32", capabilities: portableCapabilities } as const;
  const { program } = compileSource({ name: `${name}.phd`, text: text! }, options);
  const { manifest, kernels } = program!;
  const checkpoint = await openCheckpoint(folder);
  const readText = async (file: string) => kernels.find(({ info }) => info.file === file)!.text;
  const model = await loadModel(device, { manifest, readText, checkpoint });
  await checkpoint.close();
  return model;
}

function bestTwo(logits: Float32Array): { readonly best: number; readonly gap: number } {
  const order = [...logits.keys()].sort((a, b) => logits[b]! - logits[a]!);
  return { best: order[0]!, gap: logits[order[0]!]! - logits[order[1]!]! };
}

describe.skipIf(goldenCases.length === 0)("on the software adapter", () => {
  it.each(goldenCases)("%s gives the logits of the dense forward pass, however the ids are split", async (name) => {
    const golden = await loadGolden(name);
    const model = await load(name);
    const { vocab } = model.manifest.model;
    const n = golden.ids.length;
    const assertLogits = (logits: Float32Array, pos: number) => {
      const expected = golden.logits.subarray(pos * vocab, (pos + 1) * vocab);
      const difference = expected.reduce((most, value, id) => Math.max(most, Math.abs(value - logits[id]!)), 0);
      expect(difference, `position ${pos}`).toBeLessThanOrEqual(tolerance);
      const { best, gap } = bestTwo(expected);
      if (gap > decided) expect(bestTwo(logits).best, `position ${pos}`).toBe(best);
    };
    for (const split of new Set([1, n >> 1, n])) {
      const session = await model.openSession({ context: n, validate: true, poison: true });
      assertLogits((await session.prefill([golden.ids.slice(0, split)]))[0]!, split - 1);
      for (let pos = split; pos < n; pos++) assertLogits((await session.decode([golden.ids[pos]!]))[0]!, pos);
      session.close();
    }
    model.close();
  });
});
