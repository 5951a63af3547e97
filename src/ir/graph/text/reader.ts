/**
 * Reads the tokens of graph text, and expressions with infix operators over them.
 */
import { InternalError } from "../../../diagnostics/diagnostic.js";

export type TokenKind = "name" | "number" | "string" | "value" | "table" | "accumulator" | "symbol" | "end";

interface Token {
  readonly kind: TokenKind;
  readonly text: string;
  readonly offset: number;
}

// Names may hold dots (`q.pos`) and hyphens before a letter (`repeat-tokens`); a minus between operands stands between spaces.
const pattern =
  /(?<space>\s+|#[^\n]*)|(?<value>%\w+)|(?<table>@\w+)|(?<accumulator>\$\d+)|(?<number>\d+(?:\.\d+)?(?:e[+-]?\d+)?)|(?<string>"(?:[^"\\]|\\.)*")|(?<name>[A-Za-z_][\w.]*(?:-[A-Za-z]\w*)*)|(?<symbol>==|!=|<=|>=|\.\.|[-+*<>=(){}[\],:])/gy;

/** A number that reads back to itself. */
export const printNumber = (value: number): string => (Object.is(value, -0) ? "-0" : String(value));

/** What was read is not graph text; the message says where. */
export class GraphTextError extends InternalError {}

export class TextReader {
  private readonly tokens: Token[] = [];
  private position = 0;

  constructor(private readonly text: string) {
    pattern.lastIndex = 0;
    while (pattern.lastIndex < text.length) {
      const offset = pattern.lastIndex;
      const groups = pattern.exec(text)?.groups;
      if (groups === undefined) throw this.error("a character that starts nothing", offset);
      const [kind, matched] = Object.entries(groups).find(([, group]) => group !== undefined)!;
      if (kind !== "space") this.tokens.push({ kind: kind as TokenKind, text: matched!, offset });
    }
    this.tokens.push({ kind: "end", text: "the end", offset: text.length });
  }

  peek(): Token {
    return this.tokens[this.position]!;
  }

  /** Reads the next token if it is this symbol or name. */
  accept(text: string): boolean {
    const token = this.peek();
    const found = token.text === text && (token.kind === "symbol" || token.kind === "name");
    if (found) this.position++;
    return found;
  }

  expect(text: string): void {
    if (!this.accept(text)) throw this.error(`expected \`${text}\``);
  }

  /** The text of the next token, which must be of this kind. */
  read(kind: TokenKind): string {
    const token = this.peek();
    if (token.kind !== kind) throw this.error(`expected a ${kind}`);
    this.position++;
    return token.text;
  }

  number(): number {
    return this.accept("-") ? -Number(this.read("number")) : Number(this.read("number"));
  }

  string(): string {
    const { offset } = this.peek();
    try {
      return JSON.parse(this.read("string")) as string;
    } catch (error) {
      if (error instanceof GraphTextError) throw error;
      throw this.error("a string with escapes that JSON does not know", offset);
    }
  }

  /** A name that must be one of these. */
  word<T extends string>(known: readonly T[]): T {
    const { text, offset } = this.peek();
    const word = known.find((each) => each === text);
    if (word === undefined) throw this.error(`expected one of ${known.join(", ")}`, offset);
    this.position++;
    return word;
  }

  /** Items between commas up to `close`, which is read too. */
  list<T>(close: string, item: () => T): T[] {
    const items: T[] = [];
    while (!this.accept(close)) {
      if (items.length > 0) this.expect(",");
      items.push(item());
    }
    return items;
  }

  /** Reads with the first reading; if that fails, or what follows does not suit it, reads again with the second. */
  either<T>(first: () => T, suits: () => boolean, second: () => T): T {
    const start = this.position;
    try {
      const result = first();
      if (suits()) return result;
    } catch (error) {
      if (!(error instanceof GraphTextError)) throw error;
    }
    this.position = start;
    return second();
  }

  error(problem: string, offset = this.peek().offset): GraphTextError {
    const before = this.text.slice(0, offset).split("\n");
    const found = this.tokens.length > 0 ? ` (found ${this.peek().text})` : "";
    return new GraphTextError(`line ${before.length}, column ${before.at(-1)!.length + 1}: ${problem}${found}`);
  }
}

/**
 * How an operator joins what stands on its two sides. `joined` says that the left side was just made by the same operator at the
 * same place (`a + b` in `a + b + c`), so an operator over many arguments can take one more.
 */
export type Join<T> = (left: T, right: T, joined: boolean) => T;

/** Reads left-associative infix operators; `levels` go from the loosest to the tightest. */
export function readInfix<T>(
  reader: TextReader,
  levels: readonly Readonly<Record<string, Join<T>>>[],
  leaf: () => T,
): T {
  const [level, ...tighter] = levels;
  if (level === undefined) return leaf();
  let left = readInfix(reader, tighter, leaf);
  let last: string | undefined;
  for (;;) {
    const operator = Object.keys(level).find((text) => reader.accept(text));
    if (operator === undefined) return left;
    left = level[operator]!(left, readInfix(reader, tighter, leaf), operator === last);
    last = operator;
  }
}
