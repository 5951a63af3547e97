// The vanilla model by onnxruntime-web's WebGPU provider beside phdc: same weights, same adapter, same page. Run it after
// `npm run build` and `npm ci --prefix bench/peers/onnxruntime-web`:
//
//     node bench/peers/onnxruntime-web/run.mjs [--model llama-4x256] [--prompt 128] [--repeat N] [--steps N] [--record]
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { randomCheckpoint, randomTensor } from "../../../dist/bench/random-weights.js";
import { shapeConfig, shapeSource } from "../../../dist/bench/shapes.js";
import { summarise } from "../../../dist/bench/statistics.js";
import { capabilitiesOf } from "../../../dist/cli/capabilities.js";
import { compileSource } from "../../../dist/compile.js";
import { describeMachine, record } from "../../measure.mjs";
import { openBrowser, serve } from "../browser.mjs";
import { llamaGraph } from "./llama-graph.mjs";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const here = fileURLToPath(new URL(".", import.meta.url));
const peer = join(here, "node_modules/onnxruntime-web");
if (!existsSync(peer)) throw new Error("onnxruntime-web is not installed: npm ci --prefix bench/peers/onnxruntime-web");

const { values } = parseArgs({
  options: {
    model: { type: "string", default: "llama-4x256" },
    prompt: { type: "string", default: "128" },
    repeat: { type: "string", default: "7" },
    steps: { type: "string", default: "8" },
    record: { type: "boolean", default: false },
  },
});
const [promptLength, repeat, steps] = [values.prompt, values.repeat, values.steps].map(Number);
const warmUp = 2;
const context = promptLength + steps + 8;

const single = { variant: "vanilla", copies: 1, window: 0, chunk: 1 };
const { source, wrong } = shapeSource(values.model, single);
if (wrong !== undefined) throw new Error(JSON.stringify(wrong));
const config = shapeConfig(values.model);
if (config.model_type !== "llama") throw new Error("the graph is that of the Llama family");
const compile = (options) => compileSource(source, { target: "webgpu", dtype: "f32", ...options }).program;
const checkpoint = randomCheckpoint(compile({}).manifest, "F32");
const graph = await llamaGraph(config, (name) => randomTensor(checkpoint, name), context);

const server = await serve(
  { phdc: join(root, "dist"), ort: join(peer, "dist"), peers: here },
  { "/index.html": "<!doctype html><title>phdc bench</title>", "/model.onnx": graph },
);
const browser = await openBrowser();
try {
  const page = await browser.newPage();
  page.on("console", (message) => process.stderr.write(`${message.text()}\n`));
  await page.goto(`${server.url}/index.html`);
  const adapter = await page.evaluate('import("/peers/page.js").then((page) => page.describe())');
  const { manifest, kernels } = compile({ capabilities: capabilitiesOf(adapter) });
  const texts = Object.fromEntries(kernels.map(({ info, text }) => [info.file, text]));
  const prompt = Array.from({ length: promptLength }, (_, at) => (at * 7919 + 13) % config.vocab_size);
  const given = { manifest, texts, config, prompt, context, repeat, steps, warmUp };
  const found = await page.evaluate(`import("/peers/page.js").then((page) => page.compare(${JSON.stringify(given)}))`);

  const phases = Object.fromEntries(
    ["prefill", "decode"].map((phase) => {
      const [theirs, ours] = ["onnxruntime-web", "phdc"].map((name) => summarise(found.times[name][phase]));
      return [phase, { "onnxruntime-web": theirs, phdc: ours, factor: theirs.median / ours.median }];
    }),
  );
  const sampled = summarise(found.sampled);
  const tenths = ({ median, lowerQuartile, upperQuartile }) =>
    `${median.toFixed(1)} ms (${lowerQuartile.toFixed(1)} … ${upperQuartile.toFixed(1)})`;
  console.log(`${values.model}, K = 1, n = ${promptLength}, f32, on ${adapter.name}`);
  for (const [phase, { "onnxruntime-web": theirs, phdc: ours, factor }] of Object.entries(phases)) {
    console.log(`${phase}: onnxruntime-web ${tenths(theirs)}, phdc ${tenths(ours)}: ×${factor.toFixed(2)}`);
  }
  console.log(`phdc's steps with the token on the device: ${tenths(sampled)}`);
  console.log(`logits differ by at most ${found.difference.toExponential(1)} of ${found.magnitude.toFixed(2)}`);
  if (!(found.difference <= 1e-3 * found.magnitude)) throw new Error("the two do not compute the same model");
  if (values.record) {
    record(root, `onnxruntime-web-${values.model}`, {
      ...{ benchmark: "onnxruntime-web", peer: "onnxruntime-web 1.30.0, WebGPU provider" },
      ...{ model: values.model, copies: 1, prompt: promptLength, dtype: "f32", repeat, steps, warmUp },
      ...{ adapter: adapter.name, browser: browser.version(), ...describeMachine(root) },
      phases,
      sampledDecodeMs: sampled,
      logits: { difference: found.difference, magnitude: found.magnitude },
    });
  }
} finally {
  await browser.close();
  await server.close();
}
