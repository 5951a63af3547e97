/** PHD00xx: text that is no `.phd` file, found by the lexer and the parser. */
import { defineDiagnostics } from "./define.js";

export const syntaxDiagnostics = defineDiagnostics({
  unknownCharacter: {
    code: "PHD0001",
    title: "A character that the language does not use",
    explanation:
      "The text holds a character that starts no word, number, string, comment or symbol of the language. Operators are spelled as words: `and`, `or`, `not`, `div`, `mod`.",
    example: "rule own(q, k) = q.pos == k.pos && k.copy <= q.copy",
    message: (d: { text: string; instead?: string }) => `The language does not use ${quoteText(d.text)}`,
    hint: (d: { text: string; instead?: string }) => d.instead,
  },
  unexpectedText: {
    code: "PHD0002",
    title: "Unexpected text",
    explanation:
      "The parser found something else than the grammar allows at this place. The message names what could stand there. The grammar fits on one page of docs/language.md.",
    example: "model Tiny { param layers 4 }",
    message: (d: { expected?: string; found: string; after?: string; hint?: string }) =>
      d.expected === undefined
        ? `Unexpected ${d.found}${d.after === undefined ? "" : ` after \`${d.after}\``}`
        : `Expected ${d.expected}, but found ${d.found}`,
    hint: (d) => d.hint,
  },
  unclosedString: {
    code: "PHD0003",
    title: "A string that is not closed",
    explanation: 'A string starts and ends with `"` on the same line. There are no escapes.',
    example: 'let h = rms_norm(x, weight "input_layernorm [dim])',
    message: () => "This string is not closed on its line",
    hint: () => 'Close it with `"`.',
  },
  nestedTooDeeply: {
    code: "PHD0004",
    title: "Nested too deeply",
    explanation:
      "Brackets and operators nest deeper than any model needs. The limit keeps every later stage within bounded memory, whatever the text.",
    example: "let x = ((((((((((… 100 more …))))))))))",
    message: (d: { limit: number }) => `This nests more than ${d.limit} levels deep`,
    hint: () => "Name the inner parts with `let`, `index` or `rule`.",
  },
  fileTooLarge: {
    code: "PHD0005",
    title: "The file is too large",
    explanation:
      "A `.phd` file is a page or two of text. A file beyond the limit is not read, since it is surely something else.",
    example: "phdc check model.safetensors",
    message: (d: { length: number; limit: number }) =>
      `This text has ${d.length} characters; a model has at most ${d.limit}`,
    hint: () => "Is this a `.phd` file?",
  },
  integerTooLarge: {
    code: "PHD0006",
    title: "An integer that is too large",
    explanation: "Integers are exact up to 2^53 - 1. Sizes and windows are far smaller.",
    example: "param vocab = 99999999999999999999",
    message: () => "This integer is larger than 2^53 - 1",
  },
  reservedWord: {
    code: "PHD0007",
    title: "A word of the language used as a name",
    explanation:
      "Words such as `for`, `let` and `model` cannot be names. Words that matter at one place only (`copy`, `repeat`, `weight`, `bias`, `index`, `rule`, `by`, `pair`, `at` …) can.",
    example: "param model = 3",
    message: (d: { word: string }) => `\`${d.word}\` is a word of the language and cannot be a name`,
    hint: (d: { word: string }) => `Choose another name, for instance \`${d.word}_\`.`,
  },
  chainedComparison: {
    code: "PHD0008",
    title: "Chained comparisons",
    explanation: "A comparison has two sides. Two comparisons are joined with `and`.",
    example: "rule near(q, k) = 0 < q.pos - k.pos < 16",
    message: () => "Comparisons do not chain",
    hint: () => "Write `a < b and b < c`.",
  },
  unclosedBracket: {
    code: "PHD0009",
    title: "A bracket that is not closed",
    explanation: "The file ends, or a bracket of another kind closes, before this one is closed.",
    example: "model Tiny { param layers = 4",
    message: (d: { open: string; close: string }) => `\`${d.open}\` is never closed`,
    hint: (d: { open: string; close: string }) => `Close it with \`${d.close}\`.`,
  },
  strayBracket: {
    code: "PHD0010",
    title: "A closing bracket without an opening one",
    explanation:
      "A `)`, `]` or `}` stands where nothing of its kind is open. Either it is one too many, or an opening bracket before it is missing.",
    example: "let h = silu(x))",
    message: (d: { close: string }) => `Nothing is open that \`${d.close}\` could close`,
  },
  wordTooLong: {
    code: "PHD0012",
    title: "A name or a string that is too long",
    explanation: "Names, numbers and strings have at most 200 characters. Messages and generated code repeat them.",
    example: "param a_name_that_goes_on_for_hundreds_of_characters = 1",
    message: (d: { length: number; limit: number }) =>
      `This word has ${d.length} characters, and at most ${d.limit} are allowed`,
  },
  tooManyErrors: {
    code: "PHD0011",
    title: "Too many errors",
    explanation: "After many mistakes in one file the rest are not reported; they mostly follow from the first ones.",
    example: "phdc check weights.bin",
    message: (d: { left: number }) => `${d.left} more syntax errors are not shown`,
  },
});

function quoteText(text: string): string {
  const shown = text.length > 20 ? `${text.slice(0, 20)}…` : text;
  return /^[\x20-\x7e…]+$/.test(shown)
    ? `\`${shown}\``
    : `the character U+${text.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0")}`;
}
