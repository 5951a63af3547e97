/** Texts that are made to hurt: long, deep, wide. Each gets an answer; none exhausts the stack or grows without bound. */
import { describe, expect, it } from "vitest";
import { DiagnosticCollector } from "../../../src/diagnostics/diagnostic.js";
import { formatSource } from "../../../src/dsl/syntax/format.js";
import { modelText, reportsOf } from "./support.js";

/** As many units as fit into a text that is read at all. */
function repeated(unit: (index: number) => string): string {
  let text = "";
  for (let index = 0; text.length < 60_000; index++) text += unit(index);
  return text;
}

const sound: Record<string, string> = {
  "a rule on every line": modelText({ above: repeated((n) => `rule r${n}(q, k) = true\n`) }),
  "a long chain of lets": modelText({ layer: repeated((n) => `let a${n} = l + ${n}\n`) }),
  "a long chain of operations": modelText({ layer: repeated(() => "x += x\n") }),
  "nothing but comments": repeated(() => "// nothing\n") + modelText({}),
  "the same library again and again": repeated(() => "use std.phd\n") + modelText({}),
  "an endless else if": modelText({
    layer: `if l == 0 { x += x } ${repeated((n) => `else if l == ${n} { x += x } `)}`,
  }),
};

const wrong: Record<string, string> = {
  "a syntax error on every line": `model A {\n${repeated(() => "param = 3\n")}}`,
  "an unknown rule on every line": modelText({ above: repeated((n) => `rule r${n}(q, k) = s${n}(q, k)\n`) }),
  "a relation without end": modelText({ attend: `${repeated(() => "k.pos < q.pos or ")}true` }),
  "a sum without end": modelText({ layer: `let a = ${repeated(() => "1 + ")}1` }),
  "a call with thousands of arguments": modelText({ layer: `let a = silu(${repeated(() => "x, ")}x)` }),
  "a very long name": modelText({ layer: `let a = ${"a".repeat(60_000)}` }),
  "a tensor name of placeholders": modelText({ layer: `let a = weight "${"{l}".repeat(20_000)}" [dim]` }),
  "open brackets": modelText({ layer: `let a = ${"(".repeat(60_000)}` }),
  "words at random": repeated((n) => ["let ", "model ", "( ) ", "= ", "x "][(n * 31) % 5]!),
  "characters at random": repeated((n) => String.fromCharCode(33 + ((n * 7919) % 90))),
  "powers of two": modelText({
    params: `, p0 = 2${Array.from({ length: 20 }, (_, n) => `, p${n + 1} = p${n} * p${n}`).join("")}`,
  }),
  "functions that double": modelText({
    above: Array.from({ length: 40 }, (_, n) => `fn f${n + 1}(x: [rows, n]) -> [rows, n] = f${n}(x) + f${n}(x)`).join(
      "\n",
    ),
    layer: "x = f40(x)",
  }).replace("model Tiny", "fn f0(x: [rows, n]) -> [rows, n] = x\nmodel Tiny"),
  "functions that nest": modelText({
    above: Array.from({ length: 3000 }, (_, n) => `fn f${n + 1}(x: [rows, n]) -> [rows, n] = f${n}(x)`).join("\n"),
    layer: "x = f3000(x)",
  }).replace("model Tiny", "fn f0(x: [rows, n]) -> [rows, n] = x\nmodel Tiny"),
};

describe("hostile texts", () => {
  it.each(Object.entries(sound))("compile if they are models: %s", (_, text) => {
    expect(reportsOf(text)).toBe("");
    expect(formatSource({ name: "model.phd", text }, new DiagnosticCollector())).toBeDefined();
  });

  it.each(Object.entries(wrong))("are refused in a few words: %s", (_, text) => {
    const reports = reportsOf(text);
    expect(reports).toMatch(/^error\[PHD\d{4}\]/);
    expect(reports.length).toBeLessThan(20_000);
  });
});
