/** What the parameters of kernels mean, for those who launch them. Names with a number count groups of keys. */
import type { Manifest } from "../../runtime/manifest.js";

const meanings: Readonly<Record<string, string>> = {
  row_base: "first row of the phase's rows that this launch computes",
  row_count: "how many rows it computes",
  rows_at: "word of `control` at which rows begin",
  sequences_at: "word of `control` at which sequences begin",
  tiles_at: "word of `control` at which query tiles begin",
  sequence_stride: "words of one sequence there",
  tile_base: "first query tile of this launch",
  tile_count: "how many query tiles it computes",
  batch: "sequences side by side",
  context: "positions that a sequence may grow to",
  splits: "parts that decode attention divides the keys into",
  slots:
    "slots of one sequence in the store of these keys; a key stands in the slot that its index, less the base, has modulo them",
  part_base: "first row of the weight that is bound: a weight too large for one binding is bound in parts",
  part_rows: "how many of its rows are bound",
  column_base: "first output column of this launch",
  column_count: "how many columns it computes",
  keep: "keys of a sequence that outlive a slice of the prompt",
  ring_slots: "slots of one sequence in the ring",
  scratch_slots: "slots of one sequence in the scratch of a slice",
  temperature: "logits are divided by it",
  top_k: "tokens to choose from; 0 for all",
  top_p: "probability that the tokens to choose from have together; 1 for all",
  seed: "of the random numbers",
};

/** What a parameter means; undefined for one that nobody described. */
export function parameterMeaning(name: string): string | undefined {
  return meanings[name] ?? meanings[name.replace(/_\d+$/, "")];
}

/** A table of the parameters that a package's kernels have. */
export function parameterTable({ kernels }: Manifest): string {
  const names = [...new Set(kernels.flatMap(({ parameters }) => parameters.map(({ name }) => name)))].sort();
  const rows = names.map((name) => `| \`${name}\` | ${parameterMeaning(name) ?? ""} |`);
  return ["| parameter | meaning |", "|---|---|", ...rows].join("\n");
}
