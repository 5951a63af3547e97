/**
 * PHD06xx: weight files and tokenizers that are damaged, or do not fit the model.
 *
 * The run time throws these as typed errors, whose `code` is the name of the entry here in kebab case; their message and hint come with
 * them. `from-error.ts` brings the two together.
 */
import { defineDiagnostics, type ReportedError } from "./define.js";

export const weightDiagnostics = defineDiagnostics({
  fileUnreadable: {
    code: "PHD0601",
    title: "A weight file cannot be read",
    explanation:
      "Weights are read from `model.safetensors`, or from the shards that `model.safetensors.index.json` lists. The file is not there, is no file, or the system does not let phdc read it.",
    example: "phdc run model.phd --weights empty-folder --prompt ROMEO",
    message: (d: ReportedError) => d.message,
    hint: (d) => d.hint,
  },
  headerTruncated: {
    code: "PHD0602",
    title: "A weight file ends inside its header",
    explanation:
      "A safetensors file begins with the length of its header. The file is shorter than that: a download that broke off, or another kind of file.",
    example: "head -c 100 model.safetensors > short/model.safetensors",
    message: (d: ReportedError) => d.message,
    hint: (d) => d.hint,
  },
  headerTooLarge: {
    code: "PHD0603",
    title: "A weight file announces a header that is too large",
    explanation:
      "The safetensors format allows headers of up to 100 MB. A larger number means that the file is of another kind, or made to exhaust memory.",
    example: "a file whose first eight bytes are ff ff ff ff ff ff ff 7f",
    message: (d: ReportedError) => d.message,
    hint: (d) => d.hint,
  },
  headerInvalid: {
    code: "PHD0604",
    title: "The header of a weight file is malformed",
    explanation:
      "The header is a JSON object from tensor names to their type, shape and place. This one is not JSON in UTF-8, or not such an object.",
    example: "a file whose header reads `[1, 2]`",
    message: (d: ReportedError) => d.message,
    hint: (d) => d.hint,
  },
  tensorEntryInvalid: {
    code: "PHD0605",
    title: "A tensor is described wrongly",
    explanation:
      "Each tensor has exactly `dtype`, `shape` and `data_offsets`: a name, a list of sizes, and a pair of offsets in order.",
    example: '"model.norm.weight": { "dtype": "F32", "shape": [-1], "data_offsets": [0, 4] }',
    message: (d: ReportedError) => d.message,
    hint: (d) => d.hint,
  },
  tensorDuplicate: {
    code: "PHD0606",
    title: "A tensor occurs twice",
    explanation: "The same name stands twice in one file, or in two shards. phdc does not guess which one holds.",
    example: "two shards that both hold model.norm.weight",
    message: (d: ReportedError) => d.message,
    hint: (d) => d.hint,
  },
  tensorDtypeUnknown: {
    code: "PHD0607",
    title: "A tensor has an unknown element type",
    explanation: "The header names an element type that the safetensors format does not have.",
    example: '"model.norm.weight": { "dtype": "F31", "shape": [4], "data_offsets": [0, 16] }',
    message: (d: ReportedError) => d.message,
    hint: (d) => d.hint,
  },
  tensorOutOfFile: {
    code: "PHD0608",
    title: "A tensor ends after its file",
    explanation:
      "The header places a tensor, or a part of it, behind the end of the file. Usually a download that broke off.",
    example: "head -c 1000000 model.safetensors > short/model.safetensors",
    message: (d: ReportedError) => d.message,
    hint: (d) => d.hint,
  },
  tensorSizeMismatch: {
    code: "PHD0609",
    title: "A tensor has another number of bytes than its shape takes",
    explanation: "The bytes between a tensor's offsets are not the product of its sizes times the size of an element.",
    example: '"model.norm.weight": { "dtype": "F32", "shape": [4], "data_offsets": [0, 15] }',
    message: (d: ReportedError) => d.message,
    hint: (d) => d.hint,
  },
  tensorOverlap: {
    code: "PHD0610",
    title: "Two tensors overlap",
    explanation: "The tensors of a file lie one after the other. Overlapping ones hide one tensor in another.",
    example: "two tensors whose data_offsets are [0, 16] and [8, 24]",
    message: (d: ReportedError) => d.message,
    hint: (d) => d.hint,
  },
  tensorGap: {
    code: "PHD0611",
    title: "Bytes of a weight file belong to no tensor",
    explanation:
      "The tensors of a file cover its data exactly. A gap, or bytes after the last tensor, hide data that no reader sees.",
    example: "a safetensors file with a byte appended",
    message: (d: ReportedError) => d.message,
    hint: (d) => d.hint,
  },
  indexInvalid: {
    code: "PHD0612",
    title: "The index of shards is malformed",
    explanation:
      "`model.safetensors.index.json` is a JSON object whose `weight_map` goes from tensor names to file names in the same folder.",
    example: '{ "weight_map": { "model.norm.weight": "../secret" } }',
    message: (d: ReportedError) => d.message,
    hint: (d) => d.hint,
  },
  shardMissing: {
    code: "PHD0613",
    title: "A shard is missing",
    explanation: "The index lists a file that is not in the folder.",
    example: "model-00002-of-00003.safetensors was not downloaded",
    message: (d: ReportedError) => d.message,
    hint: (d) => d.hint,
  },
  tensorAbsent: {
    code: "PHD0614",
    title: "A tensor is missing",
    explanation:
      "The model asks for a tensor that the checkpoint does not hold. The name may be spelled otherwise, or the checkpoint may be of another model.",
    example: "phdc run model.phd --weights other-model --prompt ROMEO",
    message: (d: ReportedError) => d.message,
    hint: (d) => d.hint,
  },
  tensorShape: {
    code: "PHD0615",
    title: "A tensor has another shape than in the model",
    explanation:
      "The model and the checkpoint disagree about the sizes of a tensor, so a parameter of the model is not what the checkpoint was made with.",
    example: "phdc run model.phd --weights model --set ffn=385 --prompt ROMEO",
    message: (d: ReportedError) => d.message,
    hint: (d) => d.hint,
  },
  tensorDtype: {
    code: "PHD0616",
    title: "A tensor has an element type that weights cannot have",
    explanation:
      "Weights are F32, F16, BF16 or F64. Integers and 8-bit floats are quantised weights, which need scales that phdc does not read.",
    example: "a checkpoint whose projections are I8",
    message: (d: ReportedError) => d.message,
    hint: (d) => d.hint,
  },
  tokenizerMissing: {
    code: "PHD0617",
    title: "There is no tokenizer",
    explanation: "`phdc run` turns text into ids with the folder's `tokenizer.json`.",
    example: "phdc run model.phd --weights model.safetensors --prompt ROMEO",
    message: (d: ReportedError) => d.message,
    hint: (d) => d.hint,
  },
  tokenizerInvalid: {
    code: "PHD0618",
    title: "The tokenizer is not understood",
    explanation: "`tokenizer.json` is no JSON, or describes a tokenizer that the library cannot build.",
    example: "a tokenizer.json that holds []",
    message: (d: ReportedError) => d.message,
    hint: (d) => d.hint,
  },
  tokenizerUnreadable: {
    code: "PHD0619",
    title: "The tokenizer cannot be read",
    explanation: "A file of the tokenizer is there, but the system does not let phdc read it.",
    example: "chmod 000 model/tokenizer.json",
    message: (d: ReportedError) => d.message,
    hint: (d) => d.hint,
  },
  textUnencodable: {
    code: "PHD0620",
    title: "The tokenizer cannot encode a text",
    explanation: "The vocabulary has no token for a part of the text and no token for unknown text either.",
    example: "phdc run shakespeare.phd --weights shakespeare --prompt 你好",
    message: (d: ReportedError) => d.message,
    hint: (d) => d.hint,
  },
});
