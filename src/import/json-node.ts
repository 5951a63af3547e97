/**
 * JSON that remembers where it stood, so that a message about a `config.json` can point into it.
 *
 * The grammar is JSON's, nothing more lenient: a file that other tools refuse is refused here too. Numbers outside the range of a double
 * and keys that occur twice are errors, because a reader would silently take one meaning of several.
 */

import { importDiagnostics } from "../diagnostics/catalogue-import.js";
import { label } from "../diagnostics/define.js";
import type { Diagnostic } from "../diagnostics/diagnostic.js";
import type { SourceFile, Span } from "../source/source-file.js";

export interface JsonEntry {
  readonly key: string;
  readonly keySpan: Span;
  readonly value: JsonNode;
}

export type JsonNode =
  | { readonly kind: "object"; readonly span: Span; readonly entries: readonly JsonEntry[] }
  | { readonly kind: "array"; readonly span: Span; readonly items: readonly JsonNode[] }
  | { readonly kind: "string"; readonly span: Span; readonly value: string }
  | { readonly kind: "number"; readonly span: Span; readonly value: number }
  | { readonly kind: "boolean"; readonly span: Span; readonly value: boolean }
  | { readonly kind: "null"; readonly span: Span };

export type JsonObject = Extract<JsonNode, { kind: "object" }>;

export type JsonResult =
  | { readonly node: JsonNode; readonly diagnostics: readonly Diagnostic[] }
  | { readonly node: undefined; readonly diagnostics: readonly [Diagnostic] };

/** Levels of nesting; a configuration has four or five, and recursion must end before the stack does. */
const deepest = 64;

/** Reads a whole text as one JSON value. Syntax errors end the reading; doubled keys are reported and the first one stands. */
export function parseJson(file: SourceFile): JsonResult {
  const parser = new JsonParser(file);
  try {
    return { node: parser.whole(), diagnostics: parser.diagnostics };
  } catch (error) {
    if (error instanceof JsonSyntaxError) return { node: undefined, diagnostics: [error.diagnostic] };
    throw error;
  }
}

class JsonSyntaxError extends Error {
  constructor(readonly diagnostic: Diagnostic) {
    super(diagnostic.message);
  }
}

const numberPattern = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const wordPattern = /[A-Za-z_]+/y;
// biome-ignore lint/suspicious/noControlCharactersInRegex: JSON forbids them inside strings.
const stringPattern = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;

class JsonParser {
  readonly diagnostics: Diagnostic[] = [];
  #at = 0;
  #depth = 0;

  constructor(readonly file: SourceFile) {
    // A byte order mark is no part of the text.
    if (file.text.startsWith("\uFEFF")) this.#at = 1;
  }

  whole(): JsonNode {
    const node = this.#value();
    this.#space();
    if (this.#at < this.file.text.length) throw this.#unexpected("the end of the file");
    return node;
  }

  #value(): JsonNode {
    this.#space();
    const start = this.#at;
    const character = this.file.text[start];
    switch (character) {
      case "{":
        return this.#nested(() => this.#object());
      case "[":
        return this.#nested(() => this.#array());
      case '"':
        return { kind: "string", value: this.#string(), span: this.#span(start) };
    }
    if (character === "-" || (character !== undefined && character >= "0" && character <= "9")) return this.#number();
    const word = this.#match(wordPattern);
    switch (word) {
      case "true":
      case "false":
        return { kind: "boolean", value: word === "true", span: this.#span(start) };
      case "null":
        return { kind: "null", span: this.#span(start) };
    }
    this.#at = start;
    throw this.#unexpected("a value");
  }

  #nested(read: () => JsonNode): JsonNode {
    if (++this.#depth > deepest) throw this.#unexpected(`no more than ${deepest} levels of brackets`);
    const node = read();
    this.#depth--;
    return node;
  }

  #object(): JsonNode {
    const start = this.#at++;
    const entries: JsonEntry[] = [];
    const seen = new Map<string, Span>();
    if (!this.#skips("}")) {
      do {
        this.#space();
        const keyStart = this.#at;
        if (this.file.text[keyStart] !== '"') throw this.#unexpected("a key in double quotes");
        const key = this.#string();
        const keySpan = this.#span(keyStart);
        this.#expect(":");
        const value = this.#value();
        const first = seen.get(key);
        if (first === undefined) {
          seen.set(key, keySpan);
          entries.push({ key, keySpan, value });
        } else {
          this.diagnostics.push(
            importDiagnostics.duplicateKey({ key }, label(keySpan, "here again"), label(first, "first here")),
          );
        }
      } while (this.#skips(","));
      this.#expect("}");
    }
    return { kind: "object", entries, span: this.#span(start) };
  }

  #array(): JsonNode {
    const start = this.#at++;
    const items: JsonNode[] = [];
    if (!this.#skips("]")) {
      do items.push(this.#value());
      while (this.#skips(","));
      this.#expect("]");
    }
    return { kind: "array", items, span: this.#span(start) };
  }

  #string(): string {
    const start = this.#at;
    const lexeme = this.#match(stringPattern);
    if (lexeme === undefined) {
      this.#at = start;
      throw this.#unexpected("a complete string", "this string is not closed, or holds a character that JSON forbids");
    }
    return JSON.parse(lexeme) as string;
  }

  #number(): JsonNode {
    const start = this.#at;
    const lexeme = this.#match(numberPattern);
    const value = Number(lexeme);
    if (lexeme === undefined || !Number.isFinite(value)) {
      this.#at = start;
      throw this.#unexpected("a number that a double can hold");
    }
    return { kind: "number", value, span: this.#span(start) };
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const lexeme = pattern.exec(this.file.text)?.[0];
    if (lexeme !== undefined) this.#at += lexeme.length;
    return lexeme;
  }

  #space(): void {
    while (" \t\r\n".includes(this.file.text[this.#at] ?? "!")) this.#at++;
  }

  #skips(character: string): boolean {
    this.#space();
    if (this.file.text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  #expect(character: string): void {
    if (!this.#skips(character)) throw this.#unexpected(`"${character}"`);
  }

  #span(start: number): Span {
    return { file: this.file, start, end: this.#at };
  }

  #unexpected(expected: string, text = ""): JsonSyntaxError {
    const { length } = this.file.text;
    const start = Math.min(this.#at, length);
    const found = start === length ? "the end of the file" : JSON.stringify(this.file.text[start]);
    const span = { file: this.file, start, end: Math.min(start + 1, length) };
    return new JsonSyntaxError(
      importDiagnostics.notJson({ expected, found }, label(span, text || `expected ${expected}`)),
    );
  }
}
