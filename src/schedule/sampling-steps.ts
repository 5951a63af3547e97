import { argmax } from "../kernels/sampling/argmax.js";
import { samplingWorkgroups } from "../kernels/sampling/options.js";
import { sample } from "../kernels/sampling/sample.js";
import type { Step } from "../runtime/manifest.js";
import { logitsBuffer } from "./place-values.js";
import { buffer, finishStep, type Workshop } from "./step-builder.js";

/** Chooses one token per sequence and advances the decode table; the most likely one where the temperature is 0. */
export function samplingSteps({ kernels, graph, capabilities }: Workshop, vocab: number): Step[] {
  const options = { vocab, copies: graph.copies, capabilities };
  return [
    finishStep({
      name: "choose the next token",
      choices: [
        { when: "greedy", kernel: kernels.get("argmax", options, argmax), workgroups: samplingWorkgroups },
        { kernel: kernels.get("sample", options, sample), workgroups: samplingWorkgroups },
      ],
      bindings: { logits: buffer(logitsBuffer), control: { kind: "decode-control" } },
      parameters: {
        temperature: { sample: "temperature" },
        top_p: { sample: "topP" },
        top_k: { sample: "topK" },
        seed: { sample: "seed" },
      },
    }),
  ];
}
