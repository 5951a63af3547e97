/**
 * Typed access to the keys of one JSON object that reports what is wrong and remembers what was read.
 *
 * Whatever nobody asked for by the end is not understood: `reportUnread` turns each such key into an error, unless it is on a list of
 * keys that have no effect.
 */
import { importDiagnostics } from "../diagnostics/catalogue-import.js";
import { label } from "../diagnostics/define.js";
import type { DiagnosticCollector } from "../diagnostics/diagnostic.js";
import { nearestName } from "../diagnostics/suggest.js";
import type { Span } from "../source/source-file.js";
import type { JsonEntry, JsonNode, JsonObject } from "./json-node.js";

/** What a number may be; bounds are inclusive unless said otherwise. */
export interface NumberRule {
  readonly integer?: boolean;
  readonly min?: number;
  /** The number must be greater than this. */
  readonly above?: number;
  readonly max?: number;
}

/** A size: a whole number from 1 that leaves room for products of sizes. */
export const size: NumberRule = { integer: true, min: 1, max: 2 ** 24 };

/** A number of positions, as large as relations may count. */
export const positionCount: NumberRule = { ...size, max: 2 ** 30 };

export class ConfigReader {
  readonly #entries: ReadonlyMap<string, JsonEntry>;
  readonly #read = new Set<string>();

  /** `within` is the key that holds the object, for messages; undefined for the whole file. */
  constructor(
    readonly object: JsonObject,
    readonly collector: DiagnosticCollector,
    readonly within?: string,
  ) {
    this.#entries = new Map(object.entries.map((entry) => [entry.key, entry]));
  }

  /** The value under a key, or undefined where it is absent or null: both say nothing. */
  get(key: string): JsonNode | undefined {
    this.#read.add(key);
    const value = this.#entries.get(key)?.value;
    return value?.kind === "null" ? undefined : value;
  }

  /** Where a key's value stands; the opening of the object where it is absent. */
  place(key: string): Span {
    return this.#entries.get(key)?.value.span ?? this.#opening;
  }

  number(key: string, rule: NumberRule): number | undefined {
    const node = this.get(key);
    return node === undefined ? undefined : checkNumber(node, this.#path(key), rule, this.collector);
  }

  /** A number without which the model cannot be described. */
  requiredNumber(key: string, rule: NumberRule): number | undefined {
    if (this.get(key) === undefined) return this.#missing(key);
    return this.number(key, rule);
  }

  boolean(key: string): boolean | undefined {
    const node = this.get(key);
    if (node === undefined) return undefined;
    if (node.kind === "boolean") return node.value;
    return wrongType(node, this.#path(key), "true or false", this.collector);
  }

  string(key: string): string | undefined {
    const node = this.get(key);
    if (node === undefined) return undefined;
    if (node.kind === "string") return node.value;
    return wrongType(node, this.#path(key), "text", this.collector);
  }

  requiredString(key: string): string | undefined {
    if (this.get(key) === undefined) return this.#missing(key);
    return this.string(key);
  }

  strings(key: string): readonly { readonly value: string; readonly span: Span }[] | undefined {
    const node = this.get(key);
    if (node === undefined) return undefined;
    if (node.kind !== "array") return wrongType(node, this.#path(key), "a list of texts", this.collector);
    const items = [];
    for (const item of node.items) {
      if (item.kind !== "string") return wrongType(item, this.#path(key), "a list of texts", this.collector);
      items.push({ value: item.value, span: item.span });
    }
    return items;
  }

  /** The object under a key, to be read in turn. */
  child(key: string): ConfigReader | undefined {
    const node = this.get(key);
    if (node === undefined) return undefined;
    if (node.kind === "object") return new ConfigReader(node, this.collector, this.#path(key));
    return wrongType(node, this.#path(key), "an object", this.collector);
  }

  has(key: string): boolean {
    return this.#entries.has(key);
  }

  /** Errors for every key that nobody read and that `ignored` does not list. Suggestions come from the keys that were asked for. */
  reportUnread(ignored: ReadonlySet<string> = new Set()): void {
    for (const { key, keySpan } of this.object.entries) {
      if (this.#read.has(key) || ignored.has(key)) continue;
      const nearest = nearestName(
        key,
        [...this.#read].filter((known) => !this.#entries.has(known)),
      );
      this.collector.add(
        importDiagnostics.unknownKey(
          {
            key,
            ...(this.within === undefined ? {} : { within: this.within }),
            ...(nearest === undefined ? {} : { nearest }),
          },
          label(keySpan),
        ),
      );
    }
  }

  #missing(key: string): undefined {
    const data = this.within === undefined ? { key } : { key, within: this.within };
    this.collector.add(importDiagnostics.missingKey(data, label(this.#opening)));
    return undefined;
  }

  #path(key: string): string {
    return this.within === undefined ? key : `${this.within}.${key}`;
  }

  get #opening(): Span {
    const { file, start } = this.object.span;
    return { file, start, end: start + 1 };
  }
}

export function checkNumber(
  node: JsonNode,
  key: string,
  rule: NumberRule,
  collector: DiagnosticCollector,
): number | undefined {
  const expected = rule.integer ? "a whole number" : "a number";
  if (node.kind !== "number") return wrongType(node, key, expected, collector);
  const { value } = node;
  if (rule.integer && !Number.isInteger(value)) return wrongType(node, key, expected, collector);
  const fits =
    value >= (rule.min ?? value) && value <= (rule.max ?? value) && (rule.above === undefined || value > rule.above);
  if (fits) return value;
  collector.add(importDiagnostics.outOfRange({ key, value, range: describeRange(rule, value) }, label(node.span)));
  return undefined;
}

export function wrongType(node: JsonNode, key: string, expected: string, collector: DiagnosticCollector): undefined {
  collector.add(importDiagnostics.wrongType({ key, expected, found: describeNode(node) }, label(node.span)));
  return undefined;
}

/** A value in the words of a message. */
export function describeNode(node: JsonNode): string {
  switch (node.kind) {
    case "object":
      return "an object";
    case "array":
      return "a list";
    case "string":
      return `the text ${JSON.stringify(node.value.length > 40 ? `${node.value.slice(0, 37)}...` : node.value)}`;
    case "number":
    case "boolean":
      return String(node.value);
    case "null":
      return "null";
  }
}

function describeRange(rule: NumberRule, value: number): string {
  if (rule.above !== undefined) return `greater than ${rule.above}`;
  // The most that any number may be is only of interest where it is exceeded.
  if (rule.max === undefined || (rule.max >= size.max! && value < rule.max)) return `at least ${rule.min}`;
  return `from ${rule.min} to ${rule.max}`;
}
