/** PHD09xx: command lines that ask for something impossible. */
import { defineDiagnostics } from "./define.js";

export const usageDiagnostics = defineDiagnostics({
  commandLine: {
    code: "PHD0901",
    title: "The command line is not understood",
    explanation:
      "An option or a command is unknown, or an argument is missing. `phdc help COMMAND` lists what a command takes.",
    example: "phdc compile model.phd --taget webgpu",
    message: (d: { reason: string; command?: string }) => d.reason,
    hint: (d) => `See phdc ${d.command === undefined ? "" : `${d.command} `}--help.`,
  },
  badValue: {
    code: "PHD0902",
    title: "An option has a value that it cannot have",
    explanation: "The option is known, but its value is of the wrong kind or out of range.",
    example: "phdc run model.phd --weights model --top-p 2",
    message: (d: { option: string; value: string; expected: string }) =>
      `${d.option} must be ${d.expected}, not ${JSON.stringify(d.value)}`,
  },
  fileUnreadable: {
    code: "PHD0903",
    title: "A file cannot be read",
    explanation: "The named file or folder is not there, or may not be read, or is not of the kind that is needed.",
    example: "phdc check no-such.phd",
    message: (d: { path: string; reason: string }) => `${d.path} cannot be read: ${d.reason}`,
  },
  optionsConflict: {
    code: "PHD0904",
    title: "Options contradict each other",
    explanation: "Two options ask for things that exclude each other, or one needs another.",
    example: "phdc fmt --check --write model.phd",
    message: (d: { reason: string }) => d.reason,
  },
  prefillRange: {
    code: "PHD0905",
    title: "The prefill is not within the ids",
    explanation:
      "`--prefill N` runs the first N ids as a prompt and feeds the rest one by one, so N is from 1 to their number.",
    example: "phdc logits model.phd --weights model --ids ids.json --prefill 0 -o out.safetensors",
    message: (d: { prefill: number; count: number }) =>
      `--prefill is ${d.prefill}, but must be from 1 to ${d.count}, the number of ids`,
  },
  idsInvalid: {
    code: "PHD0906",
    title: "The ids are no list of token ids",
    explanation:
      "Ids are read from a JSON array of whole numbers, or from the tensor `input_ids` (i32, one dimension) of a safetensors file. Every id lies in the model's vocabulary.",
    example: `phdc logits model.phd --weights model --ids words.json --prefill 1 -o out.safetensors`,
    message: (d: { path: string; reason: string }) => `${d.path} holds no token ids: ${d.reason}`,
  },
  unknownCode: {
    code: "PHD0907",
    title: "There is no diagnostic of this code",
    explanation: "`phdc explain CODE` documents a diagnostic; without a code of that kind it explains a model.",
    example: "phdc explain PHD9999",
    message: (d: { code: string }) => `There is no diagnostic ${d.code}`,
    hint: () => "Codes have four digits, as in PHD0401; docs/diagnostics lists them.",
  },
  blockDisagrees: {
    code: "PHD0908",
    severity: "warning",
    title: "The checkpoint's phd block disagrees with the model",
    explanation:
      "The `.phd` file alone decides what runs; the folder given with `--weights` supplies tensors. Its `config.json` has a `phd` block that says something else, so either the file or the folder may be the wrong one.",
    example: "phdc run phd-2.phd --weights shakespeare-phd-cswa-3-16-32 --prompt ROMEO",
    message: (d: { folder: string; key: string; block: string; model: string }) =>
      `The phd block in ${d.folder}/config.json says ${d.key} ${d.block}, the model says ${d.model}`,
    hint: () => "The .phd file decides. Import the folder again if the block is right.",
  },
  tensorsUnread: {
    code: "PHD0910",
    severity: "warning",
    title: "The checkpoint has tensors that the model does not read",
    explanation:
      "Every tensor that the model names was found, and there are more. Where the checkpoint has more layers, or biases and norms that the model lacks, it belongs to another model, and what runs is not what was trained.",
    example: "phdc run model.phd --weights llama --set layers=3 --prompt Once",
    message: (d: { folder: string; first: string; count: number }) =>
      d.count === 1
        ? `The checkpoint in ${d.folder} has a tensor that the model does not read: ${d.first}`
        : `The checkpoint in ${d.folder} has ${d.count} tensors that the model does not read, ${d.first} among them`,
    hint: () => "`phdc inspect` lists the tensors; `phdc import` makes a model that reads all of them.",
  },
  passUnknown: {
    code: "PHD0909",
    title: "There is no pass of this name",
    explanation: "`--print-after` takes the name of a pass, as `--time-passes` lists them.",
    example: "phdc compile model.phd --print-after fus",
    message: (d: { name: string; known: readonly string[] }) =>
      `There is no pass "${d.name}"; the passes are ${d.known.join(", ")}`,
  },
});
