// What 8- and 4-bit weights cost and save: perplexity of the bundled Shakespeare models on their validation text, and how often
// stories260k holds the same token for the likeliest, as the kernels compute them; the same from the float64 interpreter with the weights
// that the integers stand for; bytes of weights that a step reads. Run it after `npm run build`:
//
//     node bench/quantised.mjs [--runs TEXTS] [--record]
//
// TEXTS texts of 128 characters (the length of training), evenly spread over the last tenth of tinyshakespeare.txt, which training
// left out. Absent data is skipped with a message.
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
const { runs: texts, recorded } = optionsOf(process.argv, { runs: 64 });
const length = 128;
/** The interpreter reads fewer: it has to agree text by text. */
const interpreted = Math.min(4, texts);
const batch = Math.min(16, texts);

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
  const rows = [];
  for (const format of formats) {
    const found = await foretell(folder, "webgpu", format, all);
    const exact = await foretell(folder, "cpu", format, all.slice(0, interpreted));
    const onDevice = perplexity(found.read.slice(0, interpreted));
    const own = perplexity(found.read);
    const [first = { perplexity: own }] = rows;
    const change = own / first.perplexity - 1;
    rows.push({
      format: format.name,
      perplexity: own,
      change,
      withinLimit: format.quantize === undefined || change <= limits[format.quantize],
      interpreterDiffers: Math.abs(onDevice / perplexity(exact.read) - 1),
      bytesPerStep: found.bytes,
      device: found.device,
    });
    console.log(name, JSON.stringify(rows.at(-1)));
  }
  return rows;
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
