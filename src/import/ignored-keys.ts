/**
 * The published list of `config.json` keys that import leaves alone, because they cannot change what the model computes at inference.
 *
 * A key belongs here only if every value of it is harmless. `docs/import.md` shows the same list; a test keeps the two equal.
 */
export const ignoredKeys: Readonly<Record<string, string>> = {
  _attn_implementation: "which kernel a Python library picked",
  _attn_implementation_autoset: "which kernel a Python library picked",
  _name_or_path: "where the checkpoint came from",
  attention_dropout: "dropout, active in training only",
  attn_implementation: "which kernel a Python library picked",
  bos_token_id: "the tokenizer's business",
  dtype: "the weights say their own type",
  embd_pdrop: "dropout, active in training only",
  eos_token_id: "read by `run`, from the checkpoint's folder",
  hidden_dropout: "dropout, active in training only",
  id2label: "labels of a classification head",
  initializer_range: "how training began",
  label2id: "labels of a classification head",
  output_attentions: "what a Python library returns beside the logits",
  output_hidden_states: "what a Python library returns beside the logits",
  pad_token_id: "padding, which phdc does not use",
  pretraining_tp: "how a Python library splits matrix products; the results are the same",
  resid_pdrop: "dropout, active in training only",
  return_dict: "what a Python library returns",
  tokenizer_class: "the tokenizer's business",
  torch_dtype: "the weights say their own type",
  torchscript: "an export option of a Python library",
  transformers_version: "which library wrote the file",
  use_bfloat16: "the weights say their own type",
  use_cache: "phdc derives its caches",
};
