import { buildKernel } from "../../ir/kernel/builder.js";
import type { Kernel } from "../../ir/kernel/kernel.js";
import { bindDecodeTable } from "./advance.js";
import { type SamplingOptions, samplingWorkgroupSize } from "./options.js";
import { bestToken, bindLogits } from "./vocabulary.js";

/** Chooses the most likely token of each sequence, the smallest id of those that tie, and advances the decode table by it. */
export function argmax(options: SamplingOptions): Kernel {
  const { vocab, copies } = options;
  return buildKernel(
    `argmax_${vocab}`,
    {
      doc: `Chooses the most likely of ${vocab} tokens and moves the sequence's ${copies} decode rows on to it.`,
      dispatch: "one workgroup per sequence",
      workgroupSize: samplingWorkgroupSize(options),
    },
    (k) => {
      const vocabulary = bindLogits(k, vocab);
      const table = bindDecodeTable(k, copies);
      table.advance(bestToken(k, vocabulary, (logit) => logit).token);
    },
  );
}
