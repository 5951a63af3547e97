/**
 * The commands and their options. What a command does is in a file of its own under `commands/`, loaded when it runs: `phdc fmt` does
 * not wait for the GPU libraries.
 */
import { Command, InvalidArgumentError, Option } from "commander";
import { shapeNames } from "../bench/shape-names.js";
import { positionRules, variants, windowUnits } from "../import/model-config.js";
import { type Tuning, tuningValues } from "../kernels/tuning.js";
import { version } from "../version.js";
import {
  choices,
  deviceOption,
  dtypeOption,
  groupOption,
  jsonOption,
  notStdout,
  outputOption,
  quantizeOption,
  realNumber,
  repeated,
  setOption,
  tunedOption,
  weightsOption,
  wholeNumber,
  wholeNumbers,
  withOptions,
} from "./options.js";
import { exitCodes } from "./report.js";
import type { Terminal } from "./terminal.js";

export interface Program {
  parseAsync(args: string[], options: { from: "user" }): Promise<unknown>;
  /** What the command that ran said: 0, or 1 when its answer is that something is wrong. */
  exitCode(): number;
}

const benchHelp = `
A model is a .phd file, which keeps the K, W and C that it states unless others are given, or one of
${shapeNames.join(", ")}
(llama-4x256 unless given; K = 1, 2, 3, 16, W = 16, C = 32 unless given). Every combination is measured.
bench/README.md says how each figure is made.`;

const tuningParameters = Object.keys(tuningValues) as (keyof Tuning)[];

/** A command returns its exit code. */
type Outcome = Promise<number>;

export function createProgram(terminal: Terminal): Program {
  let exitCode: number = exitCodes.ok;
  const settle = async (outcome: Outcome) => {
    exitCode = await outcome;
  };

  const program = new Command("phdc")
    .description("Compiles length-scaled (PHD) transformers, written in .phd, to GPU kernels and host code.")
    .version(version)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => terminal.out(text),
      // Errors are reported by `main`, in the form of all others.
      writeErr: () => {},
      getOutHelpWidth: () => 100,
    })
    .addHelpText("after", "\nphdc COMMAND --help says more. A file named - is read from stdin.");
  const command = (usage: string, summary: string) => {
    const [name] = usage.split(" ");
    return program
      .command(usage)
      .summary(summary)
      .description(summary)
      .helpOption("-h, --help", `show help for ${name}`);
  };

  withOptions(
    command("import <dir>", "print a model for the config.json of a Hugging Face folder"),
    outputOption("write to this file instead of stdout"),
    new Option("--variant <name>", "override phd.variant").choices(variants),
    new Option("--repeat <K>", "override phd.repeat: copies of every token").argParser(wholeNumber(1)),
    new Option("--window <W>", "override phd.window; none takes it away").argParser(countOrNone(0)),
    new Option("--window-unit <unit>", "override phd.window_unit").choices(windowUnits),
    new Option("--chunk <C>", "override phd.chunk, in positions; none takes it away").argParser(countOrNone(1)),
    new Option("--positions <rule>", "override phd.positions: the RoPE index of copies").choices(positionRules),
    new Option("--attend <expr>", "a predicate of your own instead of a variant"),
    jsonOption(),
  ).action((dir, options) =>
    settle(import("./commands/import.js").then((c) => c.importCommand(terminal, dir, options))),
  );

  withOptions(
    command("check <file>", "report everything that is wrong with a model"),
    setOption(),
    jsonOption(),
  ).action((file, options) =>
    settle(import("./commands/check.js").then((c) => c.checkCommand(terminal, file, options))),
  );

  withOptions(
    command("fmt <files...>", "format models"),
    new Option("-w, --write", "write the files instead of printing them"),
    new Option("--check", "print the files that are not formatted, and exit with 1 if there are any"),
  ).action((files, options) => settle(import("./commands/fmt.js").then((c) => c.fmtCommand(terminal, files, options))));

  withOptions(
    command("compile <file>", "compile a model to a package: kernels, manifest, host module"),
    new Option("--target <target>", "what to compile for").choices(["webgpu", "cuda"]).default("webgpu"),
    outputOption("folder to write (replaced if it is an earlier package)").argParser(notStdout),
    new Option("--emit <what>", "print one part on stdout instead of writing a package").choices([
      "graph",
      "kernels",
      "wgsl",
      "cuda",
      "manifest",
      "host",
    ]),
    setOption(),
    weightsOption(),
    dtypeOption(),
    quantizeOption(),
    groupOption(),
    tunedOption(),
    new Option("--subgroups", "let WebGPU kernels use subgroup operations, which some devices lack"),
    new Option("--no-nvcc", "leave CUDA kernels as text, also where nvcc could compile them"),
    new Option("--dump-ir <dir>", "write the graph after every pass to this folder"),
    new Option("--print-after <pass>", "print the graph after this pass on stderr (repeatable)").argParser(repeated),
    new Option("--time-passes", "print how long each stage took on stderr"),
    jsonOption(),
  ).action((file, options) =>
    settle(import("./commands/compile.js").then((c) => c.compileCommand(terminal, file, options))),
  );

  withOptions(
    command("run <file>", "continue a text: only the continuation is printed"),
    weightsOption().makeOptionMandatory(),
    new Option("--prompt <text>", "text to continue; repeat it for a batch").argParser(repeated).makeOptionMandatory(),
    new Option("--max-tokens <n>", "most tokens to generate").argParser(wholeNumber(1)).default(256),
    new Option("--temperature <t>", "sample at this temperature instead of taking the likeliest token").argParser(
      realNumber(0),
    ),
    new Option("--top-k <k>", "sample from the k likeliest tokens").argParser(wholeNumber(1)),
    new Option("--top-p <p>", "sample from the likeliest tokens that together have this probability").argParser(
      realNumber(0, 1, true),
    ),
    new Option("--seed <n>", "seed of the sampling").argParser(wholeNumber(0, 2 ** 32 - 1)).default(0),
    new Option("--context <n>", "positions that the caches hold").argParser(wholeNumber(1)),
    deviceOption(),
    dtypeOption(),
    quantizeOption(),
    groupOption(),
    tunedOption(),
    setOption(),
    jsonOption(),
  ).action((file, options) => settle(import("./commands/run.js").then((c) => c.runCommand(terminal, file, options))));

  withOptions(
    command("logits <file>", "write the logits of given token ids to a safetensors file"),
    weightsOption().makeOptionMandatory(),
    new Option("--ids <path>", "a JSON array, or input_ids of a safetensors file").makeOptionMandatory(),
    new Option("--prefill <n>", "ids to run as the prompt; the rest is fed one by one")
      .argParser(wholeInteger)
      .makeOptionMandatory(),
    outputOption("safetensors file to write").argParser(notStdout).makeOptionMandatory(),
    deviceOption(),
    dtypeOption().default("f32"),
    quantizeOption(),
    groupOption(),
    tunedOption(),
    setOption(),
    jsonOption(),
  ).action((file, options) =>
    settle(import("./commands/logits.js").then((c) => c.logitsCommand(terminal, file, options))),
  );

  withOptions(
    command("verify <file>", "compare a device with the float64 interpreter, and name the first op that differs"),
    weightsOption().makeOptionMandatory(),
    deviceOption(),
    dtypeOption(),
    quantizeOption(),
    groupOption(),
    tunedOption(),
    new Option("--tokens <n>", "length of the text that is compared").argParser(wholeNumber(2)).default(24),
    new Option("--seed <n>", "seed of the text").argParser(wholeNumber(0, 2 ** 32 - 1)).default(0),
    setOption(),
    jsonOption(),
  ).action((file, options) =>
    settle(import("./commands/verify.js").then((c) => c.verifyCommand(terminal, file, options))),
  );

  withOptions(
    command("explain <subject>", "document a diagnostic (PHD0123), or explain the caches and the work of a model"),
    new Option("--mask [file.svg]", "draw who sees whom, for a short prompt: as text, or as SVG to a file").argParser(
      svgPath,
    ),
    setOption(),
    dtypeOption(),
    quantizeOption(),
    groupOption(),
    jsonOption(),
  ).action((subject, options) =>
    settle(import("./commands/explain.js").then((c) => c.explainCommand(terminal, subject, options))),
  );

  withOptions(
    command("inspect <path>", "list what a checkpoint or a compiled package holds"),
    new Option(
      "--validate",
      "check a package: its manifest, its files, and that kernels are called as they are written",
    ),
    jsonOption(),
  ).action((path, options) =>
    settle(import("./commands/inspect.js").then((c) => c.inspectCommand(terminal, path, options))),
  );

  withOptions(
    command(
      "bench [models...]",
      "time models of true shapes with random weights, and say what bounds the times",
    ).addHelpText("after", benchHelp),
    new Option("--device <names>", "where to run (comma-separated): webgpu, cuda or cuda-emulated")
      .argParser(choices(["webgpu", "cuda", "cuda-emulated"]))
      .default(["webgpu"], "webgpu"),
    new Option("--dtype <types>", "element types of weights and caches (comma-separated): f32, f16 or bf16")
      .argParser(choices(["f32", "f16", "bf16"]))
      .default(["f32"], "f32"),
    new Option("--quantize <types>", "store the weights of products as none, int8 or int4 (comma-separated)")
      .argParser(choices(["none", "int8", "int4"]))
      .default(["none"], "none"),
    groupOption(),
    new Option("--variant <name>", "who sees whom, in named shapes").choices(variants).default("phd-cswa"),
    new Option("--copies <K>", "copies of every token (comma-separated)").argParser(wholeNumbers(1)),
    new Option("--window <W>", "windows, in hidden tokens (comma-separated)").argParser(wholeNumbers(0)),
    new Option("--chunk <C>", "chunks, in positions (comma-separated)").argParser(wholeNumbers(1)),
    new Option("--prompt <n>", "lengths of the prompt (comma-separated)")
      .argParser(wholeNumbers(1))
      .default([128], "128"),
    new Option("--batch <b>", "sequences side by side (comma-separated)").argParser(wholeNumbers(1)).default([1], "1"),
    new Option("--repeat <times>", "measurements of each figure, of which medians count")
      .argParser(wholeNumber(1))
      .default(7),
    new Option("--steps <steps>", "decode steps of one measurement").argParser(wholeNumber(1)).default(8),
    new Option("--no-kernels", "do not time kernels one by one"),
    new Option("--seed <n>", "seed of weights and prompts").argParser(wholeNumber(0, 2 ** 31 - 1)).default(0),
    setOption(),
    outputOption("write the report to this file, as JSON").argParser(notStdout),
    new Option("--html <path>", "write the report as a page with charts").argParser(notStdout),
    jsonOption(),
  ).action((models, options) =>
    settle(import("./commands/bench.js").then((c) => c.benchCommand(terminal, models, options))),
  );

  withOptions(
    command("tune <file>", "measure parameters of kernels on a device, and keep what is fastest for --tuned"),
    deviceOption(),
    dtypeOption(),
    quantizeOption(),
    groupOption(),
    setOption(),
    new Option("--prompt <n>", "length of the prompt").argParser(wholeNumber(1)).default(128),
    new Option("--batch <b>", "sequences side by side").argParser(wholeNumber(1)).default(1),
    new Option("--repeat <times>", "measurements of each program, of which medians count")
      .argParser(wholeNumber(1))
      .default(5),
    new Option("--steps <steps>", "decode steps of one measurement").argParser(wholeNumber(1)).default(8),
    new Option("--parameters <names>", "what to try (comma-separated)")
      .argParser(choices(tuningParameters))
      .default(tuningParameters, "all"),
    jsonOption(),
  ).action((file, options) => settle(import("./commands/tune.js").then((c) => c.tuneCommand(terminal, file, options))));

  withOptions(command("doctor", "say which devices there are and what will run on them"), jsonOption()).action(
    (options) => settle(import("./commands/doctor.js").then((c) => c.doctorCommand(terminal, options))),
  );

  return {
    parseAsync: (args, options) => program.parseAsync(args, options),
    exitCode: () => exitCode,
  };
}

/** Any whole number; the command itself knows the range. */
function wholeInteger(text: string): number {
  if (/^-?\d+$/.test(text)) return Number(text);
  throw new InvalidArgumentError("It must be a whole number.");
}

/** A model behind `--mask` would be taken for the file to draw to, and be lost. */
function svgPath(text: string): string {
  if (text.endsWith(".svg") && text !== ".svg") return text;
  throw new InvalidArgumentError("It must end in .svg; to draw as text, put --mask behind the model.");
}

function countOrNone(min: number): (text: string) => number | "none" {
  return (text) => (text === "none" ? text : wholeNumber(min)(text));
}
