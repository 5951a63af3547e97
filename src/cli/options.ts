/** Options that several commands share, and readers of their values. */
import { type Command, InvalidArgumentError, Option } from "commander";
import { usageDiagnostics } from "../diagnostics/catalogue-usage.js";
import type { Quantisation } from "../runtime/manifest.js";
import { quantisedGroups } from "../runtime/quantise.js";
import { UsageError } from "./report.js";

/** A reader of whole numbers from `min` to `max`. */
export function wholeNumber(min: number, max = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = /^-?\d+$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new InvalidArgumentError(
      max === Number.MAX_SAFE_INTEGER
        ? `It must be a whole number from ${min}.`
        : `It must be a whole number from ${min} to ${max}.`,
    );
  };
}

/** A reader of whole numbers with commas between them. */
export function wholeNumbers(min: number): (text: string) => readonly number[] {
  const read = wholeNumber(min);
  return (text) => text.split(",").map((part) => read(part.trim()));
}

/** A reader of words with commas between them. */
export function choices<T extends string>(known: readonly T[]): (text: string) => readonly T[] {
  return (text) =>
    text.split(",").map((part) => {
      const found = known.find((word) => word === part.trim());
      if (found !== undefined) return found;
      throw new InvalidArgumentError(`Each of them must be one of ${known.join(", ")}.`);
    });
}

/** A reader of numbers from `min` (or above it) to `max`. */
export function realNumber(min: number, max = Number.POSITIVE_INFINITY, exclusive = false): (text: string) => number {
  return (text) => {
    const value = text.trim() === "" ? Number.NaN : Number(text);
    if ((exclusive ? value > min : value >= min) && value <= max) return value;
    const least = exclusive ? `above ${min}` : `from ${min}`;
    throw new InvalidArgumentError(
      `It must be a number ${least}${max === Number.POSITIVE_INFINITY ? "" : ` to ${max}`}.`,
    );
  };
}

/** Collects a repeatable option. */
export function repeated(text: string, previous: readonly string[] = []): readonly string[] {
  return [...previous, text];
}

/** `--set K=4`, repeatable: parameters of the model by name. The checker knows their types. */
export type Settings = Readonly<Record<string, string>>;

export function setting(text: string, previous: Settings = {}): Settings {
  const [, name, value] = /^([A-Za-z_]\w*)=(.+)$/.exec(text) ?? [];
  if (name === undefined || value === undefined)
    throw new InvalidArgumentError("It must be NAME=VALUE, as in --set K=4.");
  return { ...previous, [name]: value.trim() };
}

export const jsonOption = () => new Option("--json", "print one JSON document on stdout instead of text");
export const setOption = () =>
  new Option("--set <name=value>", "set a parameter of the model (repeatable)").argParser(setting).default({}, "none");
export const weightsOption = () =>
  new Option("--weights <dir>", "Hugging Face folder, or a .safetensors file, with the model's tensors");
export const outputOption = (what: string) => new Option("-o, --output <path>", what).argParser(outputPath);

function outputPath(text: string): string {
  if (text !== "") return text;
  throw new InvalidArgumentError("It must be a path.");
}

/** A path for output that stdout cannot take: several files, or bytes that are no text. */
export function notStdout(text: string): string {
  if (text !== "-") return outputPath(text);
  throw new InvalidArgumentError("It cannot be stdout.");
}

export const devices = ["auto", "cuda", "cuda-emulated", "webgpu", "cpu"] as const;
export type DeviceName = (typeof devices)[number];
export const deviceOption = () =>
  new Option("--device <name>", "where to run; one that is named is never replaced by another")
    .choices(devices)
    .default("auto");

export const dtypes = ["auto", "f32", "f16", "bf16"] as const;
export type DtypeName = (typeof dtypes)[number];
export const dtypeOption = () =>
  new Option(
    "--dtype <type>",
    "element type of weights and caches; auto is f16 where the device has it, else f32; bf16 is for CUDA",
  )
    .choices(dtypes)
    .default("auto");

/** `--quantize int4 --group 32`: how the weights of products are stored, on top of `--dtype`. */
export interface QuantizeOptions {
  readonly quantize?: "int8" | "int4";
  readonly group?: Quantisation["group"];
}

export const quantizeOption = () =>
  new Option("--quantize <type>", "store the weights of products as small integers with a scale per group").choices([
    "int8",
    "int4",
  ]);
export const groupOption = () =>
  new Option(
    "--group <inputs>",
    "neighbouring inputs that share a scale, with --quantize: 16, 32, 64 or 128 (default: 32)",
  ).argParser(oneOfNumbers(quantisedGroups));

/** What the two options ask for; a group alone asks for nothing that could be done. */
export function quantisationOf({ quantize, group }: QuantizeOptions): { readonly quantise?: Quantisation } {
  if (quantize !== undefined) return { quantise: { bits: quantize === "int4" ? 4 : 8, group: group ?? 32 } };
  if (group === undefined) return {};
  throw new UsageError(usageDiagnostics.optionsConflict({ reason: "--group is for --quantize int8 or int4" }));
}

export const tunedOption = () =>
  new Option("--tuned", "take what phdc tune found best on this device, where it has been run");

function oneOfNumbers<const T extends number>(known: readonly T[]): (text: string) => T {
  return (text) => {
    const found = known.find((value) => String(value) === text);
    if (found !== undefined) return found;
    throw new InvalidArgumentError(`It must be one of ${known.join(", ")}.`);
  };
}

/** Adds several options at once. */
export function withOptions(command: Command, ...options: readonly Option[]): Command {
  for (const option of options) command.addOption(option);
  return command;
}
