/**
 * Every golden case on the emulated CUDA device, from its `config.json` to logits: the kernels as they are emitted for CUDA, driven by
 * the host of CUDA packages.
 *
 * In f32 the golden logits themselves are met. Where weights and key stores are halves, the reference is the float64 forward pass with
 * the weights rounded alike.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it, vi } from "vitest";
import { logitsOf } from "../../src/cli/commands/logits.js";
import { readCpuWeights } from "../../src/cli/cpu-weights.js";
import { type OpenedModel, openModel } from "../../src/cli/open-model.js";
import { MemoryTerminal } from "../../src/cli/terminal.js";
import { denseForward, type WeightSource } from "../../src/interpret/graph/index.js";
import { bytesOf, convertFloats, toF32 } from "../../src/runtime/dtype.js";
import { NoAdapter } from "../../src/runtime/errors.js";
import type { Manifest } from "../../src/runtime/manifest.js";
import { emulatedDriver } from "../../src/runtime/node/emulated-cuda.js";
import { layersOf, tensorName } from "../../src/runtime/packing.js";
import { readTensors } from "../cli/read-tensors.js";
import { runCli, scratchFolder } from "../cli/run-cli.js";
import { expectGolden } from "./compare.js";
import { goldenFolders } from "./shared.js";

// A compiler of the host and an emulator: seconds of work each, more on a busy machine.
vi.setConfig({ testTimeout: 600_000 });

const missing = await emulatedDriver().then(
  () => undefined,
  (error: unknown) => {
    if (error instanceof NoAdapter) return error.message;
    throw error;
  },
);
if (missing !== undefined) console.warn(`golden cases on CUDA are skipped: ${missing}`);

const scratch = scratchFolder();

/** ‖out - ref‖ / ‖ref‖ of the logits: three digits of f16, two of bf16, through a few layers. */
const relativeTolerances = { f16: 5e-3, bf16: 2e-2 } as const;
const worst = { f32: 0, f16: 0, bf16: 0 };

afterAll(() => console.info(`largest relative differences: ${JSON.stringify(worst)}`));

describe.skipIf(goldenFolders.length === 0 || missing !== undefined)("on the emulated CUDA device", () => {
  it.each(goldenFolders)("%s gives the golden logits in f32", async (name, folder) => {
    const golden = await readTensors(join(folder, "golden.safetensors"));
    const ids = Array.from(golden.get("input_ids")!.values);
    const { values, shape } = golden.get("logits")!;
    const vocab = shape[1]!;
    await withModel(name, folder, "f32", ids.length, async (model) => {
      for (const prefill of [1, Math.floor(ids.length / 2), ids.length]) {
        const logits = await logitsOf(model, ids, prefill);
        expectGolden(logits, values, prefill - 1, vocab);
        worst.f32 = Math.max(worst.f32, relativeDifference(logits, Array.from(values).slice((prefill - 1) * vocab)));
      }
    });
  });

  describe.each(["f16", "bf16"] as const)("with weights and keys in %s", (dtype) => {
    it.each(goldenFolders)("%s gives the logits of weights that are rounded alike", async (name, folder) => {
      const golden = await readTensors(join(folder, "golden.safetensors"));
      const ids = Array.from(golden.get("input_ids")!.values);
      await withModel(name, folder, dtype, ids.length, async (model) => {
        const { graph, manifest } = model.program;
        const weights = await readCpuWeights(model.checkpoint, manifest);
        const expected = denseForward(graph, roundedAlike(weights, manifest), ids);
        const prefill = Math.floor(ids.length / 2);
        const logits = await logitsOf(model, ids, prefill);
        const wanted = expected.subarray((prefill - 1) * manifest.model.vocab);
        const difference = relativeDifference(logits, wanted);
        worst[dtype] = Math.max(worst[dtype], difference);
        expect(difference).toBeLessThanOrEqual(relativeTolerances[dtype]);
      });
    });
  });
});

async function withModel(
  name: string,
  folder: string,
  dtype: "f32" | "f16" | "bf16",
  context: number,
  use: (model: OpenedModel) => Promise<void>,
): Promise<void> {
  const path = join(scratch, `${name}-${dtype}.phd`);
  expect(await runCli(["import", folder, "-o", path])).toEqual({ code: 0, stdout: "", stderr: "" });
  const terminal = new MemoryTerminal();
  const source = { name: path, text: readFileSync(path, "utf8") };
  const model = await openModel(terminal, source, { weights: folder, device: "cuda-emulated", dtype, set: {} });
  try {
    await model.load({ batch: 1, context });
    await use(model);
  } finally {
    await model.close();
  }
  expect(terminal.stderr).toBe("");
}

/** Weights as the manifest stores them; norms and biases stay as they are. */
function roundedAlike(weights: WeightSource, manifest: Manifest): WeightSource {
  const stored = new Map<string, "F16" | "BF16">();
  for (const info of manifest.weights) {
    if (info.element !== "f16" && info.element !== "bf16") continue;
    for (const layer of layersOf(manifest, info)) {
      const dtype = info.element === "f16" ? "F16" : "BF16";
      for (const { tensor } of info.sources) stored.set(tensorName(tensor, layer), dtype);
    }
  }
  return (name) => {
    const { data, shape } = weights(name);
    const dtype = stored.get(name);
    if (dtype === undefined) return { data, shape };
    const halves = convertFloats(bytesOf(Float32Array.from(data)), "F32", dtype);
    return { data: Float64Array.from(toF32(halves, dtype)), shape };
  };
}

/** A NaN anywhere makes it NaN, which no tolerance allows. */
function relativeDifference(found: ArrayLike<number>, wanted: ArrayLike<number>): number {
  let distance = 0;
  let size = 0;
  for (let index = 0; index < found.length; index++) {
    distance += (found[index]! - wanted[index]!) ** 2;
    size += wanted[index]! ** 2;
  }
  return Math.sqrt(distance / size);
}
