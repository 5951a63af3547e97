// What 8- and 4-bit weights cost and save: perplexity of the bundled Shakespeare models on their validation text, and how often
// stories260k holds the same token for the likeliest; bytes of weights that a step reads. Run it after `npm run build`:
//
//     node bench/quantised.mjs [--runs TEXTS] [--record]
//
// TEXTS texts of 128 characters (the length of training), evenly spread over the last tenth of tinyshakespeare.txt, which training
// left out (871 of them are all of it). The float64 interpreter reads them all, with the weights that the integers stand for, and the
// kernels of the WebGPU adapter some of them: in software they take ten times as long, and have to agree text by text. Stories are
// read by the kernels. Absent data is skipped with a message.
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { readSource } from "../dist/cli/files.js";
import { main } from "../dist/cli/main.js";
import { openModel } from "../dist/cli/open-model.js";
import { MemoryTerminal } from "../dist/cli/terminal.js";
import { explain } from "../dist/explain/explain.js";
import { toIntegers } from "../dist/runtime/dtype.js";
import { openCheckpoint } from "../dist/runtime/node/open-checkpoint.js";
import { loadTokenizer } from "../dist/runtime/node/tokenizer.js";
import { perplexity, surprise } from "../dist/verify/surprise.js";
import { describeMachine, optionsOf, record } from "./measure.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const shared = join(root, "../shared");
const { runs: texts, recorded } = optionsOf(process.argv, { runs: 128 });
const length = 128;
/** Texts that kernels read, too. */
const onKernels = Math.min(8, texts);
/** Texts that are read side by side. */
const batch = 16;

const formats = [
  { name: "f32" },
  { name: "int8, groups of 32", quantize: "int8", group: 32 },
  { name: "int4, groups of 32", quantize: "int4", group: 32 },
  { name: "int4, groups of 128", quantize: "int4", group: 128 },
];
const limits = { int8: 0.005, int4: 0.04 };

/** Opens a model of a folder with weights in some format, hands it to `use`, and closes it. */
async function withModel(folder, device, { quantize, group }, size, use) {
  const scratch = mkdtempSync(join(tmpdir(), "phdc-bench-"));
  const file = join(scratch, "model.phd");
  const terminal = new MemoryTerminal();
  try {
    if ((await main(["import", folder, "-o", file], terminal)) !== 0) throw new Error(terminal.stderr);
    const options = { weights: folder, device, dtype: "f32", set: {}, json: true, quantize, group };
    const model = await openModel(terminal, await readSource(terminal, file), options);
    try {
      await model.load(size);
      return await use(model);
    } finally {
      await model.close();
    }
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

async function foretell(folder, device, format, all) {
  const size = { batch: Math.min(batch, all.length), context: all[0].length };
  return withModel(folder, device, format, size, async (model) => {
    const read = [];
    for (let first = 0; first < all.length; first += size.batch) {
      const session = await model.openSession(size);
      read.push(...(await surprise(session, all.slice(first, first + size.batch))));
      session.close();
    }
    return { read, bytes: explain(model.program, length).decode_bytes.value, device: model.device.name };
  });
}

async function shakespeare(name, all) {
  const folder = join(root, "examples/models", name);
  const chosen = Array.from({ length: onKernels }, (_, index) => Math.floor((index * all.length) / onKernels));
  const rows = [];
  let plain;
  for (const format of formats) {
    const exact = await foretell(folder, "cpu", format, all);
    const kernels = await foretell(
      folder,
      "webgpu",
      format,
      chosen.map((index) => all[index]),
    );
    plain ??= exact.read;
    const { change, standardError } = changeOf(exact.read, plain);
    const sameTexts = chosen.map((index) => exact.read[index]);
    rows.push({
      format: format.name,
      perplexity: perplexity(exact.read),
      change,
      standardError,
      withinLimit: format.quantize === undefined || change + 2 * standardError <= limits[format.quantize],
      kernels: {
        texts: onKernels,
        perplexity: perplexity(kernels.read),
        differ: Math.abs(perplexity(kernels.read) / perplexity(sameTexts) - 1),
        differPerText: Math.max(
          ...kernels.read.map((text, index) => Math.abs(perplexity([text]) / perplexity([sameTexts[index]]) - 1)),
        ),
        device: kernels.device,
      },
      bytesPerStep: kernels.bytes,
    });
    console.log(name, JSON.stringify(rows.at(-1)));
  }
  return rows;
}

/**
 * The relative change of perplexity, and its standard error over the texts. Both models read the same texts, so a text that is hard
 * for both is no spread.
 */
function changeOf(read, plain) {
  const differences = read.map(({ nats, tokens }, index) => (nats - plain[index].nats) / tokens);
  const mean = differences.reduce((sum, value) => sum + value, 0) / differences.length;
  const squares = differences.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const error = Math.sqrt(squares / Math.max(1, differences.length - 1) / differences.length);
  return { change: Math.expm1(mean), standardError: Math.exp(mean) * error };
}

/** Both golden runs, read as they are: how often the likeliest next token is the one of the float model. */
async function stories() {
  const folder = join(shared, "models/stories260k");
  const golden = await openCheckpoint(join(folder, "golden.safetensors"));
  const runs = [];
  for (const name of ["empty.input_ids", "zoo.input_ids"]) {
    const tensor = golden.tensors.get(name);
    runs.push(toIntegers(await golden.read(tensor), tensor.dtype));
  }
  await golden.close();
  const rows = [];
  for (const format of formats) {
    const found = [];
    for (const ids of runs) found.push(await foretell(folder, "webgpu", format, [ids]));
    const likeliest = found.flatMap(({ read: [text] }) => text.likeliest);
    const [first = { likeliest }] = rows;
    const same = likeliest.filter((id, at) => id === first.likeliest[at]).length;
    rows.push({ format: format.name, likeliest, sameToken: same / likeliest.length, bytesPerStep: found[0].bytes });
    console.log("stories260k", format.name, rows.at(-1).sameToken);
  }
  return rows.map(({ likeliest: _, ...row }) => row);
}

const text = join(shared, "data/tinyshakespeare.txt");
const result = { machine: describeMachine(root), texts, length, models: {} };
if (existsSync(text)) {
  const tokenizer = await loadTokenizer(join(root, "examples/models/shakespeare-vanilla"));
  const ids = tokenizer.encode(readFileSync(text, "utf8"));
  const validation = ids.slice(Math.floor(0.9 * ids.length));
  const last = validation.length - length - 1;
  const all = Array.from({ length: texts }, (_, index) => {
    const start = Math.floor((index * last) / Math.max(1, texts - 1));
    return validation.slice(start, start + length + 1);
  });
  for (const name of ["shakespeare-vanilla", "shakespeare-phd-cswa-2-16-32", "shakespeare-phd-cswa-3-16-32"]) {
    result.models[name] = await shakespeare(name, all);
    if (recorded) record(root, "quantised", result);
  }
} else console.log("../shared/data is absent: perplexities are skipped");
if (existsSync(join(shared, "models/stories260k"))) result.models.stories260k = await stories();
else console.log("../shared/models/stories260k is absent: skipped");

if (recorded) record(root, "quantised", result);
