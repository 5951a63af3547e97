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
import { readTar } from "../../../dist/runtime/node/tar.js";
import { describeMachine, record } from "../../measure.mjs";
import { openBrowser, serve } from "../browser.mjs";
import { llamaGraph } from "./llama-graph.mjs";
import { describeWork, workByKind } from "./work.mjs";

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
/** Logits may differ by so much of the largest: both compute in f32, in another order. */
const agreement = 1e-4;
/** Browsers do not tell names of devices. */
const describe = ({ vendor, architecture }) => `${vendor} ${architecture} in Chromium`;
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
const browser = await openBrowser(readTar);
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

  const engines = Object.fromEntries(
    Object.entries(found.found).map(([name, { prefill, decode, difference }]) => {
      const agrees = difference <= agreement * found.magnitude;
      return [name, { prefillMs: summarise(prefill), decodeMs: summarise(decode), difference, agrees }];
    }),
  );
  const right = Object.entries(engines).filter(([name, { agrees }]) => name !== "phdc" && agrees);
  /** The peer's best configuration that computes the same model, over phdc. */
  const factor = (phase) => Math.min(...right.map(([, each]) => each[phase].median)) / engines.phdc[phase].median;
  const sampledDecodeMs = summarise(found.sampled);
  const tenths = ({ median, lowerQuartile, upperQuartile }) =>
    `${median.toFixed(1)} ms (${lowerQuartile.toFixed(1)} … ${upperQuartile.toFixed(1)})`;
  console.log(`${values.model}, K = 1, n = ${promptLength}, f32, on ${describe(adapter)}`);
  for (const [name, { prefillMs, decodeMs, difference, agrees }] of Object.entries(engines)) {
    console.log(
      `${name}: prefill ${tenths(prefillMs)}, decode ${tenths(decodeMs)}, ` +
        `${agrees ? "agrees" : "DISAGREES"}, logits differ by at most ${difference.toExponential(1)} of ${found.magnitude.toFixed(2)}`,
    );
  }
  if (right.length === 0) throw new Error("no configuration of the peer computes the same model");
  const factors = { prefill: factor("prefillMs"), decode: factor("decodeMs") };
  console.log(
    `the peer takes ×${factors.prefill.toFixed(2)} of phdc's time in prefill, ×${factors.decode.toFixed(2)} in decode`,
  );
  console.log(`phdc with the token on the device: ${tenths(sampledDecodeMs)} per step`);
  const work = workByKind(found.work);
  for (const phase of ["prefill", "decode"]) {
    const names = ["phdc", ...right.map(([name]) => name)];
    console.log(describeWork(phase, names, work, (name) => engines[name][`${phase}Ms`].median));
  }
  const { dispatchMs, wideDispatchMs, passMs, submitMs, roundTripMs } = found.costs;
  console.log(
    `that do next to nothing: a dispatch of 1 workgroup ${dispatchMs.toFixed(3)} ms, of 64 ${wideDispatchMs.toFixed(3)} ms, ` +
      `in a pass of its own ${passMs.toFixed(3)} ms, in a submission of its own ${submitMs.toFixed(3)} ms; ` +
      `one alone, until it is known to be done, ${roundTripMs.toFixed(1)} ms`,
  );
  if (values.record) {
    record(root, `onnxruntime-web-${values.model}`, {
      ...{ benchmark: "onnxruntime-web", peer: "onnxruntime-web 1.30.0, WebGPU provider" },
      ...{ model: values.model, copies: 1, prompt: promptLength, dtype: "f32", repeat, steps, warmUp },
      ...{ adapter: describe(adapter), browser: browser.version(), ...describeMachine(root) },
      ...{ engines, logitsMagnitude: found.magnitude, factors, sampledDecodeMs, work, costs: found.costs },
    });
  }
} finally {
  await browser.close();
  await server.close();
}
