import { InternalError } from "../../diagnostics/diagnostic.js";

/** Words, marked names, numbers with their suffix, strings and punctuation of the text form. */
const tokenPattern =
  /\s+|"(?:[^"\\]|\\.)*"|vec[24]<\w+>|[%$@]?[A-Za-z_][A-Za-z0-9_]*|-?[0-9][0-9.]*(?:e[+-]?[0-9]+)?[fhiu]?|[{}()[\]:=,.]/y;

interface Token {
  readonly text: string;
  readonly line: number;
}

/** Reads a kernel's text token by token. */
export class TokenReader {
  private readonly tokens: readonly Token[];
  private next = 0;

  constructor(text: string) {
    this.tokens = tokenize(text);
  }

  get atEnd(): boolean {
    return this.next === this.tokens.length;
  }

  peek(): string {
    return this.tokens[this.next]?.text ?? "the end";
  }

  take(): string {
    if (this.atEnd) this.fail("the text ends too early");
    return this.tokens[this.next++]!.text;
  }

  /** Takes the token if it is the one given. */
  takeIf(text: string): boolean {
    if (this.peek() !== text) return false;
    this.next++;
    return true;
  }

  expect(text: string): void {
    if (!this.takeIf(text)) this.fail(`expected ${text}, found ${this.peek()}`);
  }

  /** A token of a form; `what` names it in the complaint. */
  match(pattern: RegExp, what: string): string {
    if (!pattern.test(this.peek())) this.fail(`expected ${what}, found ${this.peek()}`);
    return this.take();
  }

  word(): string {
    return this.match(/^[A-Za-z_]/, "a word");
  }

  integer(): number {
    return Number(this.match(/^[0-9]+$/, "a number"));
  }

  string(): string {
    return JSON.parse(this.match(/^"/, "a string")) as string;
  }

  /** A name with its mark, which is dropped. */
  marked(mark: "%" | "$" | "@"): string {
    if (!this.peek().startsWith(mark)) this.fail(`expected a name with ${mark}, found ${this.peek()}`);
    return this.take().slice(1);
  }

  fail(problem: string): never {
    const line = this.tokens[Math.min(this.next, this.tokens.length - 1)]?.line ?? 1;
    throw new InternalError(`kernel text, line ${line}: ${problem}`);
  }
}

function tokenize(text: string): readonly Token[] {
  const tokens: Token[] = [];
  let line = 1;
  tokenPattern.lastIndex = 0;
  while (tokenPattern.lastIndex < text.length) {
    const start = tokenPattern.lastIndex;
    const match = tokenPattern.exec(text);
    if (match === null) throw new InternalError(`kernel text, line ${line}: unexpected ${JSON.stringify(text[start])}`);
    if (match[0].trim() === "") line += match[0].split("\n").length - 1;
    else tokens.push({ text: match[0], line });
  }
  return tokens;
}
