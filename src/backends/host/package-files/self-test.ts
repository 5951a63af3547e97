/**
 * The self-test of a package: the model at reduced sizes, run on the device and compared with what the compiler computed.
 *
 * It catches what a device gets wrong in silence: a broken reduction, half-precision overflow, a driver's miscompilation.
 */
import type { ComputeDevice } from "../../../runtime/compute-device.js";
import type { Manifest } from "../../../runtime/manifest.js";
import { loadModel } from "../../../runtime/model.js";
import { readPackageFile, readPackageText } from "./files.js";
import { seededCheckpoint, tensorsOf } from "./seeded-weights.js";

/** `selftest/expected.json`. */
export interface SelfTestData {
  readonly seed: number;
  /** Largest absolute difference of a logit that passes. */
  readonly tolerance: number;
  readonly ids: readonly number[];
  /** How many of the ids are read as the prompt; the others are fed one by one. */
  readonly prefill: number;
  /** Logits of the float64 model at positions prefill - 1, …, ids.length - 1. */
  readonly logits: readonly (readonly number[])[];
}

export interface SelfTestResult {
  readonly passed: boolean;
  /** The largest absolute difference, and the position where it is. */
  readonly difference: number;
  readonly position: number;
  readonly tolerance: number;
  readonly adapter: string;
}

export async function runSelfTest(device: ComputeDevice): Promise<SelfTestResult> {
  const read = (file: string) => readPackageText(`selftest/${file}`);
  const readBytes = (file: string) => readPackageFile(`selftest/${file}`);
  const manifest = JSON.parse(await read("manifest.json")) as Manifest;
  const data = JSON.parse(await read("expected.json")) as SelfTestData;
  const checkpoint = seededCheckpoint(data.seed, tensorsOf(manifest));
  const model = await loadModel(device, { manifest, readText: read, readBytes, checkpoint });
  const session = await model.openSession({ context: data.ids.length });
  let difference = 0;
  let position = data.prefill - 1;
  const compare = (logits: Float32Array, at: number) => {
    for (const [id, expected] of data.logits[at - data.prefill + 1]!.entries()) {
      const distance = Math.abs(logits[id]! - expected);
      // Written so that a NaN counts as the largest difference.
      if (!(distance <= difference)) {
        difference = distance;
        position = at;
      }
    }
  };
  try {
    const [first] = await session.prefill([data.ids.slice(0, data.prefill)]);
    compare(first!, data.prefill - 1);
    for (let at = data.prefill; at < data.ids.length; at++) {
      const [logits] = await session.decode([data.ids[at]!]);
      compare(logits!, at);
    }
  } finally {
    session.close();
    model.close();
  }
  const { tolerance } = data;
  return { passed: difference <= tolerance, difference, position, tolerance, adapter: device.name };
}
