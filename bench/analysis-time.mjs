// How long the compiler takes from a lowered graph to what it derives from who attends to whom (relations, key groups, retention, rows
// of both phases), and to the rows of a prompt of 8192 tokens: every variant of the library, 16 layers. Each is analysed a few times
// first, because a process that has just started runs cold code. Run it after `npm run build`:
//
//     node bench/analysis-time.mjs [--runs N] [--record]
import { fileURLToPath } from "node:url";
import { DiagnosticCollector } from "../dist/diagnostics/diagnostic.js";
import { checkModel } from "../dist/dsl/check/check-model.js";
import { parseFile } from "../dist/dsl/syntax/parse.js";
import { importModel } from "../dist/import/import-model.js";
import { evaluate } from "../dist/ir/expr.js";
import { lowerModel } from "../dist/lower/lower-model.js";
import { analyseTokens } from "../dist/passes/analyse-tokens.js";
import { runPasses } from "../dist/passes/pass.js";
import { tokenPipeline } from "../dist/passes/pipeline.js";
import { describeMachine, optionsOf, record, spread } from "./measure.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const { runs, recorded } = optionsOf(process.argv, { runs: 15 });
const warmUps = 5;
const promptLength = 8192;
const goalMs = 50;

const shape = {
  model_type: "olmo2",
  vocab_size: 100278,
  hidden_size: 2048,
  intermediate_size: 8192,
  num_hidden_layers: 16,
  num_attention_heads: 32,
  num_key_value_heads: 8,
  max_position_embeddings: 16384,
};

const variants = [{}, { variant: "naive" }, { variant: "phd" }]
  .concat({ variant: "phd-swa", window: 16 }, { variant: "phd-cswa", window: 16, chunk: 32 })
  .flatMap((block) =>
    block.variant === undefined ? [block] : [2, 3, 16, 256].map((repeat) => ({ ...block, repeat })),
  );

function lowered(block) {
  const config = { ...shape, ...(block.variant !== undefined && { phd: block }) };
  const collector = new DiagnosticCollector();
  const { text, diagnostics } = importModel({ name: "config.json", text: JSON.stringify(config) }, "model");
  if (text === undefined) throw new Error(diagnostics.map(({ message }) => message).join("\n"));
  return lowerModel(checkModel(parseFile({ name: "model.phd", text }, collector), collector, {}));
}

/** Rows that the layers of a prefill compute together. */
function rowsOf(facts) {
  const sizes = { n: promptLength, start: 0 };
  const count = ({ lo, hi }) => Math.max(0, evaluate(hi, sizes) - evaluate(lo, sizes));
  const sets = facts.prefill.layers.flatMap(({ input }) => input);
  return sets.flatMap(({ ranges }) => ranges.map(count)).reduce((a, b) => a + b, 0);
}

const results = variants.map((block) => {
  const graph = lowered(block);
  let rows = 0;
  const once = () => {
    const started = performance.now();
    const before = process.cpuUsage();
    rows = rowsOf(analyseTokens(runPasses(tokenPipeline, graph)));
    const { user, system } = process.cpuUsage(before);
    return { wall: performance.now() - started, cpu: (user + system) / 1000 };
  };
  for (let run = 0; run < warmUps; run++) once();
  const times = Array.from({ length: runs }, once);
  const wallMs = spread(times.map(({ wall }) => wall));
  const cpuMs = spread(times.map(({ cpu }) => cpu));
  const { variant = "vanilla", repeat = 1 } = block;
  console.log(
    `${variant.padEnd(8)} K = ${String(repeat).padStart(3)}: wall ${wallMs.median} ms (${wallMs.least} … ${wallMs.most}), ` +
      `cpu ${cpuMs.median} ms (${cpuMs.least} … ${cpuMs.most}), ${rows} rows`,
  );
  return { variant, copies: repeat, wallMs, cpuMs, rows };
});

const slowest = Math.max(...results.map(({ cpuMs }) => cpuMs.median));
console.log(`slowest median: cpu ${slowest} ms; the goal is ${goalMs} ms`);
if (recorded) {
  const about = { benchmark: "analysis-time", layers: 16, promptLength, warmUps, runs, goalMs };
  record(root, "analysis-time", { ...about, ...describeMachine(root), results });
}
