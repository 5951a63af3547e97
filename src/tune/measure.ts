/** Times the program that a tuning gives, on a device that is there. */
import { greedy, runSteps } from "../bench/decode-steps.js";
import { randomCheckpoint } from "../bench/random-weights.js";
import { median } from "../bench/statistics.js";
import type { Program } from "../compile.js";
import type { Tuning } from "../kernels/tuning.js";
import { textsOf } from "../package/texts.js";
import type { ComputeDevice } from "../runtime/compute-device.js";
import { loadModel } from "../runtime/model.js";
import type { Candidate, Measured } from "./search.js";

export interface Effort {
  /** Positions of the prompt. */
  readonly prompt: number;
  /** Sequences side by side. */
  readonly batch: number;
  /** Measurements, of which the medians count. */
  readonly repeat: number;
  /** Decode steps of a measurement. */
  readonly steps: number;
}

/** Candidates for `searchTuning`. Weights are drawn at random: times do not depend on them. */
export function candidates(
  compile: (tuning: Tuning) => Program,
  device: ComputeDevice,
  effort: Effort,
): (tuning: Tuning) => Candidate {
  return (tuning) => {
    const program = compile(tuning);
    // Kernels and steps are all that a tuning changes, and hashes of the texts are in the manifest.
    return { key: JSON.stringify(program.manifest), measure: () => measureProgram(program, device, effort) };
  };
}

async function measureProgram(program: Program, device: ComputeDevice, effort: Effort): Promise<Measured> {
  const { manifest } = program;
  const { prompt, batch, repeat, steps } = effort;
  const texts = textsOf(program);
  const size = { batch, context: prompt + steps + 2 };
  const source = {
    manifest,
    checkpoint: randomCheckpoint(manifest, "F32"),
    readText: async (file: string) => texts.get(file)!,
  };
  const model = await loadModel(device, source, { session: size });
  try {
    const prompts = Array.from({ length: batch }, (_, sequence) =>
      Array.from({ length: prompt }, (_, at) => (at * 7 + sequence) % manifest.model.vocab),
    );
    const prefill: number[] = [];
    const decode: number[] = [];
    // The first of each warms up: pipelines are compiled when they first run.
    for (let count = 0; count <= repeat; count++) {
      const session = await model.openSession(size);
      try {
        // Tables that a session brings along are no part of reading a prompt.
        await device.settled();
        const start = performance.now();
        const ids = await session.prefillAndSample(prompts, greedy);
        await ids();
        const prefillMs = performance.now() - start;
        const { ms } = await runSteps(session, steps, {});
        if (count === 0) continue;
        prefill.push(prefillMs);
        decode.push(ms);
      } finally {
        session.close();
      }
    }
    return { prefillMs: median(prefill), decodeMs: median(decode) };
  } finally {
    model.close();
  }
}
