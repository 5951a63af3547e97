/** What a user sees of weights that are damaged or do not fit, and of other errors of the run time. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { findEntry } from "../../src/diagnostics/catalogue.js";
import { diagnosticOf } from "../../src/diagnostics/from-error.js";
import * as errors from "../../src/runtime/errors.js";
import { type TensorData, writeSafetensors } from "../../src/runtime/safetensors.js";
import { runCli, scratchFolder } from "./run-cli.js";

const scratch = scratchFolder();
const tiny = {
  model_type: "llama",
  vocab_size: 16,
  hidden_size: 8,
  intermediate_size: 12,
  num_hidden_layers: 2,
  num_attention_heads: 2,
};
const model = join(scratch, "tiny.phd");
const ids = join(scratch, "ids.json");

beforeAll(async () => {
  writeFileSync(join(scratch, "config.json"), JSON.stringify(tiny));
  await runCli(["import", scratch, "-o", model]);
  writeFileSync(ids, "[1, 2, 3]");
});

function tensor(name: string, shape: readonly number[], dtype: "F32" | "I8" = "F32"): TensorData {
  const elements = shape.reduce((product, size) => product * size, 1);
  return { name, dtype, shape, bytes: new Uint8Array(elements * (dtype === "F32" ? 4 : 1)) };
}

const layer = (l: number): TensorData[] => [
  ...["q", "k", "v", "o"].map((name) => tensor(`model.layers.${l}.self_attn.${name}_proj.weight`, [8, 8])),
  tensor(`model.layers.${l}.mlp.gate_proj.weight`, [12, 8]),
  tensor(`model.layers.${l}.mlp.up_proj.weight`, [12, 8]),
  tensor(`model.layers.${l}.mlp.down_proj.weight`, [8, 12]),
  tensor(`model.layers.${l}.input_layernorm.weight`, [8]),
  tensor(`model.layers.${l}.post_attention_layernorm.weight`, [8]),
];
const fitting = [
  tensor("model.embed_tokens.weight", [16, 8]),
  tensor("lm_head.weight", [16, 8]),
  tensor("model.norm.weight", [8]),
  ...layer(0),
  ...layer(1),
];

/** What `logits` says about a weight file. */
async function report(file: Uint8Array | undefined, name = "model.safetensors"): Promise<string> {
  const folder = join(scratch, `weights-${Math.random().toString(36).slice(2)}`);
  mkdirSync(folder);
  if (file !== undefined) writeFileSync(join(folder, name), file);
  const args = ["logits", model, "--weights", folder, "--ids", ids, "--prefill", "1", "--device", "cpu"];
  const { code, stderr } = await runCli([...args, "-o", join(scratch, "out.safetensors")]);
  if (code === 0) return "";
  expect(code).toBe(1);
  return stderr.replaceAll(folder, "weights").replaceAll(scratch, "…").trimEnd();
}

const change = (name: string, ...replacement: TensorData[]) =>
  writeSafetensors(fitting.flatMap((each) => (each.name === name ? replacement : [each])));

/** A file whose header is this text, with so many bytes of data. */
function withHeader(header: string, bytes = 0): Uint8Array {
  const text = new TextEncoder().encode(header);
  const file = new Uint8Array(8 + text.byteLength + bytes);
  new DataView(file.buffer).setBigUint64(0, BigInt(text.byteLength), true);
  file.set(text, 8);
  return file;
}

describe("weights", () => {
  it("that fit are taken", async () => {
    expect(await report(writeSafetensors(fitting))).toBe("");
  });

  it("that are not there", async () => {
    expect(await report(undefined)).toMatchInlineSnapshot(`
      "error[PHD0601]: weights holds no model.safetensors
      Hint: Weights are read from a folder with model.safetensors, or with the shards that model.safetensors.index.json lists, or from a .safetensors file."
    `);
  });

  it("that lack a tensor are told which, where the model asks for it, and the nearest name", async () => {
    expect(await report(change("model.norm.weight", tensor("model.norms.weight", [8])))).toMatchInlineSnapshot(`
      "error[PHD0614]: The checkpoint has no tensor model.norm.weight [8]
        …/tiny.phd:21:41
      21 |     predict copy K: unembed(rms_norm(x, weight "model.norm" [dim], eps = eps), vocab)
         |                                         ^^^^^^^^^^^^^^^^^^^^^^^^^ the model asks for it here
      Hint: Is it model.norms.weight?"
    `);
  });

  it("of another shape are told both shapes, all at once", async () => {
    const wide = fitting.map((each) => (each.name.includes("gate_proj") ? tensor(each.name, [13, 8]) : each));
    const both = wide.map((each) => (each.name === "lm_head.weight" ? tensor(each.name, [17, 8]) : each));
    expect(await report(writeSafetensors(both))).toMatchInlineSnapshot(`
      "error[PHD0615]: Tensor model.layers.0.mlp.gate_proj.weight has shape [13, 8] where the model has [12, 8] (and likewise in one more layer)
        std/nn.phd:5:24
      5 |   let gate = linear(x, weight "mlp.gate_proj" [ffn, dim])
        |                        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ the model asks for it here

      error[PHD0615]: Tensor lm_head.weight has shape [17, 8] where the model has [16, 8]
        std/nn.phd:12:75
      12 |   let table = if tied { weight "model.embed_tokens" [vocab, dim] } else { weight "lm_head" [vocab, dim] }
         |                                                                           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ the model asks for it here"
    `);
  });

  it("of a type that holds no floats", async () => {
    expect(await report(change("lm_head.weight", tensor("lm_head.weight", [16, 8], "I8")))).toMatchInlineSnapshot(`
      "error[PHD0616]: Tensor lm_head.weight is I8, and weights must be F32, F16, BF16 or F64
        std/nn.phd:12:75
      12 |   let table = if tied { weight "model.embed_tokens" [vocab, dim] } else { weight "lm_head" [vocab, dim] }
         |                                                                           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ the model asks for it here"
    `);
  });

  it("that broke off", async () => {
    const whole = writeSafetensors(fitting);
    expect(await report(whole.subarray(0, 4))).toMatchInlineSnapshot(
      `"error[PHD0602]: weights/model.safetensors has 4 bytes, too few for a safetensors file"`,
    );
    expect(await report(whole.subarray(0, 100))).toMatchInlineSnapshot(`
      "error[PHD0602]: weights/model.safetensors announces a header of 1992 bytes but only 92 follow
      Hint: The download may be incomplete."
    `);
    expect(await report(whole.subarray(0, whole.length - 100))).toMatchInlineSnapshot(
      `"error[PHD0608]: weights/model.safetensors: tensor "model.layers.1.self_attn.v_proj.weight" ends at byte 5504 of 5436: the file is truncated"`,
    );
  });

  it("that want to exhaust memory", async () => {
    const hostile = new Uint8Array(64);
    hostile.fill(0xff, 0, 7);
    hostile[7] = 0x7f;
    expect(await report(hostile)).toMatchInlineSnapshot(`
      "error[PHD0603]: weights/model.safetensors announces a header of 9223372036854775807 bytes; the format allows 100000000
      Hint: Is this a safetensors file?"
    `);
  });

  it("with a header that is none", async () => {
    expect(await report(withHeader("[1, 2]"))).toMatchInlineSnapshot(`
      "error[PHD0604]: weights/model.safetensors: the header is not a JSON object
      Hint: Is this a safetensors file?"
    `);
    expect(
      await report(withHeader(`{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}`, 4)),
    ).toMatchInlineSnapshot(
      `"error[PHD0605]: weights/model.safetensors: tensor "a" has a shape that is not a list of sizes"`,
    );
    expect(await report(withHeader(`{"a":{"dtype":"F31","shape":[1],"data_offsets":[0,4]}}`, 4))).toMatchInlineSnapshot(
      `"error[PHD0607]: weights/model.safetensors: tensor "a" has the unknown dtype "F31""`,
    );
    expect(await report(withHeader(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,3]}}`, 3))).toMatchInlineSnapshot(
      `"error[PHD0609]: weights/model.safetensors: tensor "a" has 3 bytes where F32 [1] takes 4"`,
    );
    expect(await report(withHeader(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 9))).toMatchInlineSnapshot(
      `"error[PHD0611]: weights/model.safetensors: 5 bytes at the end belong to no tensor"`,
    );
  });

  it("with tensors that overlap or occur twice", async () => {
    const entry = (from: number) => `{"dtype":"F32","shape":[2],"data_offsets":[${from},${from + 8}]}`;
    expect(await report(withHeader(`{"a":${entry(0)},"b":${entry(4)}}`, 12))).toMatchInlineSnapshot(
      `"error[PHD0610]: weights/model.safetensors: tensor "b" overlaps "a""`,
    );
    expect(await report(withHeader(`{"a":${entry(0)},"a":${entry(8)}}`, 16))).toMatchInlineSnapshot(
      `"error[PHD0606]: weights/model.safetensors lists "a" twice"`,
    );
  });

  it("whose index is wrong, or names a shard that is not there", async () => {
    const index = (map: unknown) => new TextEncoder().encode(JSON.stringify({ weight_map: map }));
    const name = "model.safetensors.index.json";
    expect(await report(index({ "lm_head.weight": "../secret" }), name)).toMatchInlineSnapshot(
      `"error[PHD0612]: model.safetensors.index.json puts tensor "lm_head.weight" into "../secret", which is no name of a shard"`,
    );
    expect(await report(index({ "lm_head.weight": "model-1.safetensors" }), name)).toMatchInlineSnapshot(`
      "error[PHD0613]: model.safetensors.index.json names the shard model-1.safetensors, which is not there
      Hint: Download the missing file, or remove the index if the model is in one file."
    `);
  });
});

describe("ids", () => {
  const run = async (content: string, prefill = "1") => {
    const path = join(scratch, "given.json");
    writeFileSync(path, content);
    const weights = join(scratch, "weights");
    mkdirSync(weights, { recursive: true });
    writeFileSync(join(weights, "model.safetensors"), writeSafetensors(fitting));
    const args = ["logits", model, "--weights", weights, "--ids", path, "--prefill", prefill, "--device", "cpu"];
    const { code, stderr } = await runCli([...args, "-o", join(scratch, "out.safetensors")]);
    return `${code}: ${stderr.replaceAll(scratch, "…").trimEnd()}`;
  };

  it("must be a list of tokens of the vocabulary", async () => {
    expect(await run("{}")).toMatchInlineSnapshot(
      `"1: error[PHD0906]: …/given.json holds no token ids: it is not a JSON array"`,
    );
    expect(await run("[1, 2.5]")).toMatchInlineSnapshot(
      `"1: error[PHD0906]: …/given.json holds no token ids: element 1 is no whole number"`,
    );
    expect(await run("[1, 16]")).toMatchInlineSnapshot(
      `"1: error[PHD0906]: …/given.json holds no token ids: id 16 at index 1 is not in the vocabulary of 16"`,
    );
    expect(await run("[]")).toMatchInlineSnapshot(
      `"1: error[PHD0906]: …/given.json holds no token ids: the list is empty"`,
    );
  });

  it("must hold the prefill", async () => {
    expect(await run("[1, 2]", "3")).toMatchInlineSnapshot(
      `"2: error[PHD0905]: --prefill is 3, but must be from 1 to 2, the number of ids"`,
    );
    expect(await run("[1, 2]", "0")).toMatchInlineSnapshot(
      `"2: error[PHD0905]: --prefill is 0, but must be from 1 to 2, the number of ids"`,
    );
  });
});

it("every error of the run time has an entry in the catalogue", () => {
  const source = readFileSync(fileURLToPath(new URL("../../src/runtime/errors.ts", import.meta.url)), "utf8");
  const union = /type WeightsErrorCode =([^;]*);/.exec(source)![1]!.match(/[a-z]+(?:-[a-z]+)+/g)!;
  const others = [...source.matchAll(/super\("([a-z-]+)"/g)].map(([, code]) => code!);
  const thrown = ["tokenizer-missing", "tokenizer-invalid", "tokenizer-unreadable", "text-unencodable"];
  const outputs = ["output-unwritable", "output-exists"];
  for (const code of [...union, ...others, ...thrown, ...outputs]) {
    const diagnostic = diagnosticOf(new errors.PhdcError(code, "something"));
    expect(findEntry(diagnostic.code)?.code).toBe(diagnostic.code);
  }
});
