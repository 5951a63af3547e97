/**
 * Mutated source texts: whatever the text, the front end answers with a model or with diagnostics, in bounded time.
 *
 * Mutants are made from the bundled texts by a seeded generator, on characters and on words, so a failure names the mutant's number and
 * can be replayed.
 */
import { describe, expect, it } from "vitest";
import { DiagnosticCollector } from "../../../src/diagnostics/diagnostic.js";
import { renderDiagnostics } from "../../../src/diagnostics/render-terminal.js";
import { checkModel } from "../../../src/dsl/check/check-model.js";
import type { Library } from "../../../src/dsl/check/definitions.js";
import { formatSource } from "../../../src/dsl/syntax/format.js";
import { parseFile } from "../../../src/dsl/syntax/parse.js";
import { lexer } from "../../../src/dsl/syntax/tokens.js";
import { stdLibrary } from "../../../src/generated/std-library.js";
import { verifyGraph } from "../../../src/ir/graph/verify.js";
import { lowerModel } from "../../../src/lower/lower-model.js";
import { bundledTexts } from "./support.js";

const mutants = 10_000;

/** A text takes a few milliseconds, on a busy machine a few hundred; one that takes this long grows without bound. */
const longestMs = 20_000;

/** mulberry32. */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

const bundled = bundledTexts();
const texts = bundled.map(({ text }) => text);
const models = bundled.filter(({ text }) => text.includes("\nmodel ")).map(({ text }) => text);
const words = [
  ...new Set(texts.flatMap((text) => lexer.tokenize(text).tokens.map((token) => token.image))),
  ..."0 1 2 -1 999999999999999999 4294967296 1e308 1e-308 0.0".split(" "),
  ...'( ) [ ] { } , : . = == -> + - * / ^ % & " \u0000 \ud800 é \t'.split(" "),
];

function mutate(number: number, given?: readonly string[]): string {
  const random = generator(number);
  const bases = given ?? (random(4) === 0 ? texts : models);
  let text = bases[random(bases.length)]!;
  for (let edits = 1 + random(3); edits > 0; edits--) {
    const tokens = lexer.tokenize(text).tokens;
    const token = tokens[random(tokens.length)];
    if (token === undefined) return text;
    const [start, end] = [token.startOffset, token.endOffset! + 1];
    const word = words[random(words.length)]!;
    switch (random(9)) {
      case 0: // Drop a word.
        text = text.slice(0, start) + text.slice(end);
        break;
      case 1: // Replace a word.
        text = text.slice(0, start) + word + text.slice(end);
        break;
      case 2: // Insert a word.
        text = `${text.slice(0, start)}${word} ${text.slice(start)}`;
        break;
      case 3: // Swap with another.
        text = text.slice(0, start) + tokens[random(tokens.length)]!.image + text.slice(end);
        break;
      case 4: // Repeat a stretch many times.
        text = text.slice(0, end) + ` ${text.slice(start, start + random(60))}`.repeat(random(40)) + text.slice(end);
        break;
      case 5: // Cut off the rest, or a stretch.
        text = random(4) === 0 ? text.slice(0, start) : text.slice(0, start) + text.slice(start + random(80));
        break;
      case 6: // Another number.
        text = text.replace(/\b\d+\b/, () => String(random(4) === 0 ? random(2 ** 31) : random(9)));
        break;
      case 7: // Another name of the same text.
        text = text.replaceAll(new RegExp(`\\b${token.image.replaceAll(/\W/g, "\\W")}\\b`, "g"), (found) =>
          random(3) === 0 ? tokens[random(tokens.length)]!.image : found,
        );
        break;
      default: // Change one character.
        text = text.slice(0, start) + String.fromCharCode(random(128)) + text.slice(start + 1);
    }
  }
  return text;
}

/** Takes a text as far through the front end as it goes. */
function compileFront(text: string, library?: Library): { accepted: boolean; reported: boolean } {
  const diagnostics = new DiagnosticCollector();
  const source = { name: "mutant.phd", text };
  const file = parseFile(source, diagnostics);
  const model = file === undefined ? undefined : checkModel(file, diagnostics, { library });
  if (model !== undefined) verifyGraph(lowerModel(model));
  if (file !== undefined) formatSource(source, diagnostics);
  const rendered = renderDiagnostics(diagnostics.diagnostics);
  return { accepted: model !== undefined, reported: rendered !== "" };
}

/** Models that use a mutated library instead of the one that comes with phdc. */
function mutateLibrary(number: number): Library {
  const random = generator(~number);
  const names = Object.keys(stdLibrary);
  const name = names[random(names.length)]!;
  return { ...stdLibrary, [name]: mutate(number, [stdLibrary[name]!]) };
}

describe("the front end", () => {
  it("answers models that use a mutated library", () => {
    for (let number = 0; number < mutants / 20; number++) {
      const library = mutateLibrary(number);
      const { accepted, reported } = compileFront(models[number % models.length]!, library);
      expect(accepted || reported, `library ${number}`).toBe(true);
    }
  }, 600_000);

  it(`answers ${mutants} mutated texts with a model or with diagnostics`, () => {
    let accepted = 0;
    for (let number = 0; number < mutants; number++) {
      const text = mutate(number);
      const start = performance.now();
      try {
        const result = compileFront(text);
        if (result.accepted) accepted++;
        else if (!result.reported) throw new Error("refused without a diagnostic");
      } catch (error) {
        throw new Error(`mutant ${number}:\n${text}`, { cause: error });
      }
      const took = performance.now() - start;
      if (took > longestMs) throw new Error(`mutant ${number} took ${took} ms:\n${text}`);
    }
    // Some mutants are still models; a generator that only makes garbage would test the lexer alone.
    expect(accepted).toBeGreaterThan(mutants / 100);
  }, 600_000);
});
