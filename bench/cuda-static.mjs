// What can be known of products on matrix units without a GPU: how many weights are on their way, how many instructions they cost, how
// workgroups fall on processors, and how often inputs are read again. Counted in the machine code that nvcc makes for sm_90a of the two
// models of true size in bf16, and from the manifest; nothing here is a measurement. After `npm run build`:
//
//     node bench/cuda-static.mjs [--record]
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { cudaPreamble, preambleName } from "../dist/backends/cuda/preamble.js";
import { compileSource } from "../dist/compile.js";
import { evaluate } from "../dist/runtime/expr.js";
import { describeMachine, optionsOf, record } from "./measure.mjs";
import { readCubin } from "./sass.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const { recorded } = optionsOf(process.argv, { runs: 1 });
const models = ["olmo2-550m-phd-swa-2-16", "olmo2-1.2b-phd-cswa-3-16-32"];
const architecture = "sm_90a";
/** Rows of a decode step: K = 1, 3, 16 and what lies between and beyond. */
const decodeRows = [1, 3, 8, 16, 32];
const prefillRows = [128, 1024, 4096];
/** An H100 and an A100. */
const processors = { h100: 132, a100: 108 };
const warpSize = 32;
const registerFile = 65536;
const sharedMemory = 228 * 1024;
/** Bytes of a tile of weights, one 16-byte load of a warp, and its inputs. */
const [tileBytes, tileInputs] = [512, 16];

const nvccPath = ["nvcc", "/usr/local/cuda/bin/nvcc"].find((path) => {
  try {
    return execFileSync(path, ["--version"], { stdio: "pipe" });
  } catch {
    return false;
  }
});
if (nvccPath === undefined) throw new Error("there is no nvcc on this machine");
const nvcc = /release ([\d.]+)/.exec(execFileSync(nvccPath, ["--version"], { encoding: "utf8" }))?.[1];
const rounded = (value) => Math.round(value * 100) / 100;

/** Instructions and what ptxas says, by kernel. */
function compile(kernels) {
  const folder = mkdtempSync(join(tmpdir(), "phdc-static-"));
  try {
    const source = join(folder, "kernels.cu");
    writeFileSync(join(folder, preambleName), cudaPreamble());
    writeFileSync(source, kernels.map(({ text }) => text).join("\n"));
    const flags = ["-cubin", "-Xptxas=-v", `-arch=${architecture}`, "-std=c++17", "-o", `${source}.cubin`, source];
    const log = execFileSync("/bin/sh", ["-c", '"$0" "$@" 2>&1', nvccPath, ...flags], { encoding: "utf8" });
    const code = readCubin(readFileSync(`${source}.cubin`));
    const said = log.split("Compiling entry function '").slice(1);
    return new Map(
      said.map((entry) => {
        const name = entry.slice(0, entry.indexOf("'"));
        const found = (pattern) => Number(pattern.exec(entry)?.[1] ?? 0);
        const [registers, shared] = [found(/Used (\d+) registers/), found(/(\d+) bytes smem/)];
        const { info, text } = kernels.find((kernel) => kernel.info.name === name);
        const threads = info.workgroupSize[0];
        const perWarp = Math.ceil((registers * warpSize) / 256) * 256;
        const resident = Math.min(
          Math.floor(registerFile / (perWarp * (threads / warpSize))),
          Math.floor(2048 / threads),
          Math.floor(sharedMemory / (shared + 1024)),
        );
        return [name, { code: code.get(name), text, warps: threads / warpSize, registers, resident }];
      }),
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Steps that multiply by a matrix, in a phase of a manifest: those of the same weights together. */
function productsOf(phase) {
  const found = [];
  const visit = (part) => {
    if (Array.isArray(part)) for (const one of part) visit(one);
    else if (part !== null && typeof part === "object") {
      if (part.choices !== undefined && /multiply by/.test(part.name)) found.push(part);
      else for (const one of Object.values(part)) visit(one);
    }
  };
  visit(phase);
  const byWeight = new Map();
  for (const step of found) {
    const { name } = step.bindings.weight;
    byWeight.set(name, [...(byWeight.get(name) ?? []), step]);
  }
  return [...byWeight.values()];
}

const padded = (length) => Math.ceil(length / tileInputs) * tileInputs;
const choiceFor = (steps, rows) => {
  const symbols = { row_count: rows, splits: 1, part_base: 0 };
  // The first layer may begin otherwise than the layers after it.
  const step = steps.findLast(({ when }) => when === undefined || evaluate(when, symbols) !== 0);
  const choice = step.choices.find(({ when }) => when === undefined || evaluate(when, symbols) !== 0);
  const [x, y] = choice.workgroups.map((size) => evaluate(size, symbols));
  return { kernel: choice.kernel, x, workgroups: x * y };
};

/** The innermost loop with products; undefined where everything is written out. */
function mainLoop(code) {
  const loops = code
    .map(({ kind, target }, end) => ({ kind, start: target, end }))
    .filter(({ kind, start, end }) => kind === "branch" && start < end)
    .map(({ start, end }) => code.slice(start, end + 1))
    .filter((body) => body.some(({ kind }) => kind === "product"));
  return loops.sort((a, b) => a.length - b.length)[0];
}

const count = (code, test) => code.filter(test).length;
const isWeight = ({ kind, once }) => kind === "load" && once;

/** A product of few rows. `perWarp` is how many tiles of weights a warp loads in all. */
function skinny({ code, text, warps, registers, resident }, rows, weightBytes, inputBytes, { x, workgroups }) {
  const perWarp = Math.ceil(weightBytes / (x * warps * tileBytes));
  const lastProduct = code.findLastIndex(({ kind }) => kind === "product");
  const upToBarrier = code.slice(
    0,
    code.findIndex(({ kind }, index) => kind === "barrier" && index > lastProduct),
  );
  const body = mainLoop(upToBarrier) ?? [];
  const outside = count(upToBarrier, isWeight) - count(body, isWeight);
  const rounds = body.length === 0 ? 0 : Math.max(1, (perWarp - outside) / count(body, isWeight));
  const instructions = upToBarrier.length - body.length + rounds * body.length;
  const firstProduct = code.findIndex(({ kind }) => kind === "product");
  const wait = code.findIndex(({ kind }) => kind === "wait");
  const prefetched = [...text.matchAll(/ prefetch\(weight, .*, (\d+)u\);/g)].reduce((sum, [, n]) => sum + 16 * n, 0);
  const perProcessor = Math.min(resident, workgroups / processors.h100);
  const bytesOf = (loads) => Math.round(perProcessor * warps * loads * tileBytes);
  return {
    ...{ rows, workgroups, registers, resident },
    /** The processor with most workgroups, over the mean: 1 is even. */
    busiest: Object.fromEntries(
      Object.entries(processors).map(([name, own]) => [
        name,
        rounded((Math.ceil(workgroups / own) * own) / workgroups),
      ]),
    ),
    weightLoadsBeforeWait: count(code.slice(0, wait), isWeight),
    weightLoadsBeforeFirstProduct: count(code.slice(0, firstProduct), isWeight),
    bytesLoadedBeforeWaitPerProcessor: bytesOf(count(code.slice(0, wait), isWeight)),
    bytesPrefetchedBeforeWaitPerProcessor: Math.round(perProcessor * warps * prefetched),
    bytesInFlightPerProcessor: bytesOf(count(code.slice(0, firstProduct), isWeight)),
    weightBytesPerInstruction: rounded((perWarp * tileBytes) / instructions),
    inputBytes: workgroups * rows * inputBytes,
    inputsPerWeightByte: rounded((workgroups * rows * inputBytes) / weightBytes),
  };
}

/** A product of many rows: what a step along the inputs costs a warp. */
function tiled({ code, warps, registers, resident }, rows, { workgroups }) {
  const body = mainLoop(code);
  const bytes = (kind) => body.filter((one) => one.kind === kind).reduce((sum, one) => sum + one.bytes * warpSize, 0);
  const shared = bytes("shared-load") + count(body, ({ kind }) => kind === "matrix-load") * tileBytes;
  return {
    ...{ rows, workgroups, warps, registers, resident },
    waves: Object.fromEntries(
      Object.entries(processors).map(([name, own]) => [name, rounded(workgroups / (own * resident))]),
    ),
    productsOfStep: count(body, ({ kind }) => kind === "product"),
    instructionsOfStep: body.length,
    sharedBytesPerProduct: rounded(shared / count(body, ({ kind }) => kind === "product")),
  };
}

const results = models.map((model) => {
  const source = { name: `${model}.phd`, text: readFileSync(join(root, "examples", `${model}.phd`), "utf8") };
  const { program } = compileSource(source, { target: "cuda", dtype: "bf16" });
  const compiled = compile(program.kernels.filter(({ info }) => info.name.startsWith("linear")));
  const { phases, weights } = program.manifest;
  const products = productsOf(phases.decode).map((steps) => {
    const [step] = steps;
    const { rows, columns } = weights.find(({ name }) => name === step.bindings.weight.name);
    const weightBytes = 2 * padded(rows) * padded(columns);
    const decode = decodeRows.map((count) => {
      const choice = choiceFor(steps, count);
      // What finishes a norm that was left undone reads a branch and a stream.
      const inputBytes = (choice.kernel.includes("deferred") ? 8 : 4) * columns;
      const own = skinny(compiled.get(choice.kernel), count, weightBytes, inputBytes, choice);
      const [before, flight] = [own.bytesLoadedBeforeWaitPerProcessor, own.bytesInFlightPerProcessor];
      const asked = own.bytesPrefetchedBeforeWaitPerProcessor;
      console.log(
        `${choice.kernel.padEnd(46)} ${count} rows, ${own.workgroups} workgroups; per processor ${before} + ${asked} bytes before ` +
          `the wait, ${flight} in flight; ${own.weightBytesPerInstruction} bytes an instruction, inputs × ${own.inputsPerWeightByte}`,
      );
      return { kernel: choice.kernel, ...own };
    });
    const many = productsOf(phases.prefill).find(
      ([{ bindings }]) => bindings.weight.name === step.bindings.weight.name,
    );
    const prefill = (many === undefined ? [] : prefillRows).map((count) => {
      const choice = choiceFor(many, count);
      const own = compiled.get(choice.kernel);
      return {
        kernel: choice.kernel,
        ...(/_mma_m\d+$/.test(choice.kernel) ? { rows: count } : tiled(own, count, choice)),
      };
    });
    return { product: step.name, weightBytes, decode, prefill };
  });
  return { model, products };
});

if (recorded) {
  const { date, commit, node } = describeMachine(root);
  const about = { benchmark: "cuda-static", dtype: "bf16", architecture, nvcc, processors, date, commit, node };
  record(root, "cuda-static", { ...about, results });
}
