/** Every example of docs/language.md compiles. The word after `phd` says where a fragment belongs. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { builtinNames } from "../../../src/dsl/check/builtin-names.js";
import { allTokens, contextualWords, reservedWords } from "../../../src/dsl/syntax/tokens.js";
import { stdLibrary } from "../../../src/generated/std-library.js";
import { modelText, reportsOf } from "./support.js";

const reference = readFileSync("docs/language.md", "utf8");

const examples = [...reference.matchAll(/^```phd(?: (\w+))?\n([\s\S]*?)^```$/gm)].map(([, place, text]) => ({
  place: place ?? "file",
  text: text!,
}));

/** The example as a complete file. */
function complete({ place, text }: { place: string; text: string }): string {
  if (place === "layer") return modelText({ layer: text });
  if (place === "items") return modelText({ items: text });
  return text.includes("\nmodel ") ? text : modelText({ above: text });
}

describe("the language reference", () => {
  it("has examples", () => {
    expect(examples.length).toBeGreaterThan(6);
  });

  it.each(examples)("compiles: $place $text", (example) => {
    expect(reportsOf(complete(example))).toBe("");
  });

  it("lists every builtin", () => {
    for (const name of builtinNames) expect(reference).toContain(name);
  });

  it("lists every word of the language", () => {
    for (const word of [...reservedWords, ...contextualWords]) expect(reference).toContain(String(word.PATTERN));
    expect(allTokens.length).toBeGreaterThan(reservedWords.length);
  });

  it("lists every library, and every block and rule for models", () => {
    for (const name of Object.keys(stdLibrary)) expect(reference).toContain(`std.${name.replace(".phd", "")}`);
  });
});
