/** Everything is derived from what a predicate means: names and phrasing change neither plan nor kernels. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compileSource, type Program } from "../../src/compile.js";
import { lexer } from "../../src/dsl/syntax/tokens.js";
import { stdLibrary } from "../../src/generated/std-library.js";
import type { Architecture } from "../../src/import/model-config.js";
import { type Predicate, sees } from "../../src/ir/relation/predicate.js";
import { printPredicate } from "../../src/ir/relation/print-predicate.js";
import { normalForm } from "../../src/passes/tokens/normal-form.js";
import { predicateOf } from "../support/predicates.js";
import { tokens } from "../unit/passes-tokens/brute-force.js";
import { randomNumbers, rephrase } from "./rephrase.js";
import { blockOf, compileOptions, type PhdBlock, sourceOf, usualBase } from "./small-models.js";

function compiled(text: string): Program {
  const { program, diagnostics } = compileSource({ name: "small.phd", text }, compileOptions);
  expect(diagnostics).toEqual([]);
  return program!;
}

/** What decides what is computed: everything but names, places in the source, and the predicate as it was written. */
function planOf({ manifest }: Program): unknown {
  const { name, source, parameters, attends, ...model } = manifest.model;
  const dropped = new Set(["origin"]);
  return JSON.parse(JSON.stringify({ ...manifest, model }, (key, value) => (dropped.has(key) ? undefined : value)));
}

const kinds: readonly (readonly [string, PhdBlock])[] = [
  ["vanilla", blockOf("vanilla", { repeat: 1 })],
  ["naive", blockOf("naive", { repeat: 3 })],
  ["phd", blockOf("phd", { repeat: 3 })],
  ["phd-swa", blockOf("phd-swa", { repeat: 3, window: 4 })],
  ["phd-swa in positions", blockOf("phd-swa", { repeat: 3, window: 4, window_unit: "positions" })],
  ["phd-cswa", blockOf("phd-cswa", { repeat: 3, window: 4, chunk: 8 })],
  ["phd-cswa in positions", blockOf("phd-cswa", { repeat: 4, window: 3, window_unit: "positions", chunk: 5 })],
];

describe("names mean nothing", () => {
  const bundled = stdLibrary as Readonly<Record<string, string>>;

  /** The model with the library files that it uses written out, and every rule, index and function of theirs under another name. */
  function renamed(text: string): string {
    const files: string[] = [];
    const inline = (part: string): string =>
      part.replace(/^use std\.(\w+).*$/gm, (_, file: string) => {
        if (files.includes(file)) return "";
        files.push(file);
        return inline(bundled[`${file}.phd`]!);
      });
    const whole = inline(text);
    const defined = new Set([...whole.matchAll(/^(?:rule|index|fn) (\w+)/gm)].map(([, name]) => name!));
    expect(defined.size).toBeGreaterThan(15);
    const { tokens: words } = lexer.tokenize(whole);
    const strings = new Map([...defined].map((name, index) => [name, `thing_${index}`]));
    return words.reduceRight((result, { image, startOffset, endOffset }) => {
      const other = strings.get(image);
      return other === undefined ? result : result.slice(0, startOffset) + other + result.slice(endOffset! + 1);
    }, whole);
  }

  it.each(["llama", "qwen2", "qwen3", "olmo2"] as const satisfies readonly Architecture[])(
    "for %s with every rule, index and function of the library renamed",
    (model_type) => {
      for (const [, phd] of kinds.filter((_, index) => index % 2 === 1)) {
        const { text } = sourceOf({ ...usualBase, model_type }, phd);
        const [own, other] = [compiled(text), compiled(renamed(text))];
        expect(planOf(other)).toEqual(planOf(own));
        expect(other.kernels.map(({ text }) => text)).toEqual(own.kernels.map(({ text }) => text));
      }
    },
  );
});

describe("phrasing means nothing", () => {
  const predicates = kinds.map(([name, phd]) => {
    const { variant, repeat: copies, window, window_unit: unit, chunk } = phd;
    return { name, phd, copies, predicate: predicateOf({ variant, copies, window, unit, chunk }) };
  });

  function expectEquivalent(predicate: Predicate, other: Predicate, copies: number): void {
    const all = tokens(10, copies);
    for (const query of all) for (const key of all) expect(sees(other, query, key)).toBe(sees(predicate, query, key));
  }

  it.each(predicates)("for the relation of $name: random rephrasings have one normal form", ({ predicate, copies }) => {
    const normal = printPredicate(normalForm(predicate, copies));
    expectEquivalent(predicate, normalForm(predicate, copies), copies);
    fc.assert(
      fc.property(fc.nat(), fc.nat({ max: 1 }), (seed, splits) => {
        const other = rephrase(predicate, copies, randomNumbers(seed), splits);
        expect(printPredicate(normalForm(other, copies)), printPredicate(other)).toBe(normal);
      }),
      { numRuns: 60, seed: 1, endOnFailure: true },
    );
  });

  it("rephrasing keeps the relation", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...predicates),
        fc.nat(),
        fc.nat({ max: 2 }),
        ({ predicate, copies }, seed, splits) => {
          expectEquivalent(predicate, rephrase(predicate, copies, randomNumbers(seed), splits), copies);
        },
      ),
      { numRuns: 15, seed: 1 },
    );
  });

  it.each(predicates)("for $name: rephrased models have the same plan and kernels", ({ phd, predicate, copies }) => {
    const own = compiled(sourceOf(usualBase, phd).text);
    for (let seed = 0; seed < 6; seed++) {
      const attend = printPredicate(rephrase(predicate, copies, randomNumbers(seed), seed % 2));
      const other = compiled(sourceOf(usualBase, { ...phd, attend }).text);
      expect(planOf(other), attend).toEqual(planOf(own));
      expect(other.kernels.map(({ info }) => info.sha256)).toEqual(own.kernels.map(({ info }) => info.sha256));
    }
  });

  it("for the stream order as places in the stream, by positions, and by quotients", () => {
    const naive = blockOf("naive", { repeat: 3 });
    const own = compiled(sourceOf(usualBase, naive).text);
    for (const attend of [
      "k.pos * 3 + k.copy <= q.pos * 3 + q.copy",
      "k.pos < q.pos or k.pos == q.pos and k.copy <= q.copy",
      "not (stream(q) < stream(k))",
      "stream(k) div 3 < stream(q) div 3 or stream(k) div 3 == stream(q) div 3 and stream(k) mod 3 <= stream(q) mod 3",
      "own(q, k) or original(q, k) or earlier_hidden(q, k) or k.pos < q.pos and q.copy == 1",
    ]) {
      const other = compiled(sourceOf(usualBase, { ...naive, attend }).text);
      expect(planOf(other), attend).toEqual(planOf(own));
    }
  });
});
