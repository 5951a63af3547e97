/**
 * The `phd` block of a `config.json`, overridden key by key by what the command line says, as a choice that is consistent or refused.
 */
import { importDiagnostics } from "../diagnostics/catalogue-import.js";
import { label } from "../diagnostics/define.js";
import type { DiagnosticCollector, Label } from "../diagnostics/diagnostic.js";
import { nearestName } from "../diagnostics/suggest.js";
import { mostCopies } from "../dsl/check/check-model.js";
import type { SourceFile, Span } from "../source/source-file.js";
import { type ConfigReader, type NumberRule, positionCount, size } from "./config-reader.js";
import { type AttendConfig, type PhdConfig, positionRules, variants, windowUnits } from "./model-config.js";

/** What flags say, under the keys of the block; `none` takes away what the block gives. */
export interface PhdOverrides {
  readonly variant?: string;
  readonly repeat?: number;
  readonly window?: number | "none";
  readonly window_unit?: string;
  readonly chunk?: number | "none";
  readonly positions?: string;
  /** A predicate in place of a variant; excludes `variant`, `window`, `window_unit` and `chunk`. */
  readonly attend?: string;
}

type Key = Exclude<keyof PhdOverrides, "attend">;

/** A value and where the user wrote it; no place for defaults. */
interface Sourced<T> {
  readonly value: T;
  readonly span?: Span;
}

/** The language has no more copies. */
const repeatRule: NumberRule = { ...size, max: mostCopies };
const windowRule: NumberRule = { ...positionCount, min: 0 };

/** Reads the block (undefined where there is none). Undefined after an error, which has been reported. */
export function readPhd(
  block: ConfigReader | undefined,
  overrides: PhdOverrides,
  collector: DiagnosticCollector,
): PhdConfig | undefined {
  const errorsBefore = collector.diagnostics.length;
  // The block is read before it is overridden, so that its keys count as understood.
  const choice = <T extends string>(key: Key, choices: readonly T[]) => {
    const given = fromBlock(block, key, () => block?.string(key));
    return readChoice(key, choices, fromFlag(key, overrides) ?? given, collector);
  };
  const count = (key: "repeat" | "window" | "chunk", rule: NumberRule) => {
    const given = fromBlock(block, key, () => block?.number(key, rule));
    return overrides[key] === "none" ? undefined : (checkedFlag(key, overrides, rule, collector) ?? given);
  };

  const variant = choice("variant", variants);
  const repeat = count("repeat", repeatRule) ?? { value: 1 };
  const window = count("window", windowRule);
  const anyUnit = choice("window_unit", windowUnits);
  // Without a window its unit goes too.
  const unit = overrides.window === "none" && overrides.window_unit === undefined ? undefined : anyUnit;
  const chunk = count("chunk", positionCount);
  const positions = choice("positions", positionRules)?.value ?? "shared";
  block?.reportUnread();

  let attend: AttendConfig | undefined;
  if (overrides.attend !== undefined) {
    reportExcluded(overrides, collector);
    attend = { kind: "predicate", text: { name: "--attend", text: overrides.attend } };
  } else if (collector.diagnostics.length === errorsBefore) {
    attend = combine({ variant: variant ?? { value: "vanilla" }, repeat, window, unit, chunk }, collector);
  }
  return attend === undefined || collector.diagnostics.length > errorsBefore
    ? undefined
    : { attend, repeat: repeat.value, positions };
}

interface Choices {
  readonly variant: Sourced<(typeof variants)[number]>;
  readonly repeat: Sourced<number>;
  readonly window: Sourced<number> | undefined;
  readonly unit: Sourced<(typeof windowUnits)[number]> | undefined;
  readonly chunk: Sourced<number> | undefined;
}

/** Refuses what has no meaning together; nothing that the user wrote is dropped in silence. */
function combine(
  { variant, repeat, window, unit, chunk }: Choices,
  collector: DiagnosticCollector,
): AttendConfig | undefined {
  const name = variant.value;
  const labels = (given: Sourced<unknown>): Label[] => [
    ...(given.span === undefined ? [] : [label(given.span)]),
    ...(variant.span === undefined ? [] : [label(variant.span, given.span === undefined ? "" : "the variant")]),
  ];
  const hasNo = (key: string, given: Sourced<unknown> | undefined) => {
    if (given !== undefined) collector.add(importDiagnostics.variantHasNo({ variant: name, key }, ...labels(given)));
  };
  const needs = (key: string) =>
    collector.add(importDiagnostics.variantNeeds({ variant: name, key }, ...labels({ value: name })));

  if (name === "vanilla" && repeat.value > 1) {
    collector.add(importDiagnostics.vanillaRepeats({ repeat: repeat.value }, ...labels(repeat)));
  }
  switch (name) {
    case "vanilla":
    case "naive":
    case "phd":
      hasNo("window", window);
      hasNo("window_unit", unit);
      hasNo("chunk", chunk);
      return { kind: name };
    case "phd-swa":
      hasNo("chunk", chunk);
      if (window === undefined) return void needs("window");
      return { kind: name, window: window.value, unit: unit?.value ?? "tokens" };
    case "phd-cswa":
      if (window === undefined) needs("window");
      if (chunk === undefined) needs("chunk");
      if (window === undefined || chunk === undefined) return undefined;
      return { kind: name, window: window.value, unit: unit?.value ?? "tokens", chunk: chunk.value };
  }
}

function reportExcluded(overrides: PhdOverrides, collector: DiagnosticCollector): void {
  for (const key of ["variant", "window", "window_unit", "chunk"] as const) {
    const flag = fromFlag(key, overrides);
    if (flag !== undefined) {
      collector.add(importDiagnostics.attendExcludes({ flag: flagName(key) }, label(flag.span!)));
    }
  }
}

function readChoice<T extends string>(
  key: Key,
  choices: readonly T[],
  given: Sourced<string> | undefined,
  collector: DiagnosticCollector,
): Sourced<T> | undefined {
  if (given === undefined) return undefined;
  const found = choices.find((choice) => choice === given.value);
  if (found !== undefined) return { ...given, value: found };
  const nearest = nearestName(given.value, choices);
  collector.add(
    importDiagnostics.unknownChoice(
      { key, value: given.value, choices, ...(nearest === undefined ? {} : { nearest }) },
      ...(given.span === undefined ? [] : [label(given.span)]),
    ),
  );
  return undefined;
}

function fromBlock<T>(block: ConfigReader | undefined, key: Key, read: () => T | undefined): Sourced<T> | undefined {
  const value = read();
  return block === undefined || value === undefined ? undefined : { value, span: block.place(key) };
}

function fromFlag(key: Key, overrides: PhdOverrides): Sourced<string> | undefined {
  const value = overrides[key];
  return value === undefined ? undefined : { value: String(value), span: flagSpan(key, String(value)) };
}

function checkedFlag(
  key: "repeat" | "window" | "chunk",
  overrides: PhdOverrides,
  rule: NumberRule,
  collector: DiagnosticCollector,
): Sourced<number> | undefined {
  const value = overrides[key];
  if (typeof value !== "number") return undefined;
  const span = flagSpan(key, String(value));
  if (Number.isInteger(value) && value >= rule.min! && value <= rule.max!) return { value, span };
  const range = `a whole number from ${rule.min} to ${rule.max}`;
  collector.add(importDiagnostics.outOfRange({ key: flagName(key), value, range }, label(span)));
  return undefined;
}

function flagName(key: Key): string {
  return `--${key.replace("_", "-")}`;
}

/** A flag has a place too: a text of its own, so that a report can show it beside one in the file. */
function flagSpan(key: Key, value: string): Span {
  const file: SourceFile = { name: "command line", text: `${flagName(key)} ${value}` };
  return { file, start: 0, end: file.text.length };
}
