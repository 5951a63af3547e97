/** Mistakes of people who write their first model: what is wrong, where in their own file, and a way out. */
import { describe, expect, it } from "vitest";
import { DiagnosticCollector } from "../../../src/diagnostics/diagnostic.js";
import { renderDiagnostics } from "../../../src/diagnostics/render-terminal.js";
import { checkModel } from "../../../src/dsl/check/check-model.js";
import { parseFile } from "../../../src/dsl/syntax/parse.js";
import { lowerModel } from "../../../src/lower/lower-model.js";
import { checkTokens } from "../../../src/passes/check-tokens.js";

const right = `use std.phd
use std.llama
model M {
  param layers = 2, dim = 64, K = 2, W = 4
  repeat K
  attend q -> k when phd_swa(q, k, W)
  rotate t by t.pos
  forward(ids: [positions] int) -> [positions, 65] {
    var x = repeat(embed(ids, weight "e" [65, dim]))
    for l in layers within "l.{l}" {
      x = llama_block(x, 4, 2, 16, 128)
    }
    predict copy K: unembed(rms_norm(x, weight "n" [dim]), 65)
  }
}
`;

/** What is said of the model with a part of its text replaced. */
function said(part: string, replacement: string): string {
  expect(right).toContain(part);
  const collector = new DiagnosticCollector();
  const tree = parseFile({ name: "m.phd", text: right.replace(part, replacement) }, collector);
  const model = tree === undefined ? undefined : checkModel(tree, collector);
  if (model !== undefined) for (const report of checkTokens(lowerModel(model))) collector.add(report);
  return renderDiagnostics(collector.diagnostics, { color: false });
}

describe("a first model", () => {
  it("may be right", () => {
    expect(said("param", "param")).toBe("");
  });

  it("without rotate is told once, at its own call", () => {
    expect(said("  rotate t by t.pos\n", "")).toMatchInlineSnapshot(`
      "error[PHD0211]: There is no \`rotate\`, so \`rope\` does not know by which index to turn a token
        m.phd:10:11
      10 |       x = llama_block(x, 4, 2, 16, 128)
         |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ in this call of \`llama_block\`
        std/llama.phd:5:11
       5 |   let q = rope(split(linear(x, weight "self_attn.q_proj" [heads * head_dim, dim]), heads))
         |           -------------------------------------------------------------------------------- which asks for it here
      Hint: Add \`rotate t by t.pos\` to the model."
    `);
  });

  it("that hands the query for the key sees its own attend beside the library's rule", () => {
    expect(said("phd_swa(q, k, W)", "phd_swa(k, q, W)")).toMatchInlineSnapshot(`
      "error[PHD0401]: A query sees a key of a later step: query pos 0 copy 1 sees key pos 1 copy 1
        std/phd.phd:11:29
      11 | rule original(q, k)       = k.copy == 1 and k.pos < q.pos        // originals, for ever
         |                             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ this lets the query see it
        m.phd:6:3
       6 |   attend q -> k when phd_swa(k, q, W)
         |   ----------------------------------- it comes from here
      Hint: Add \`and k.pos <= q.pos\`: a step cannot read what a later step writes."
    `);
  });

  it("with a copy that nothing reads is shown which attend that follows from", () => {
    expect(said("phd_swa(q, k, W)", "vanilla(q, k) and k.copy == q.copy")).toMatchInlineSnapshot(`
      "warning[PHD0403]: No output depends on copy 1
        m.phd:6:3
      6 |   attend q -> k when vanilla(q, k) and k.copy == q.copy
        |   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      Hint: Let the predicted copy see it, directly or through other copies, or repeat fewer times."
    `);
  });

  it("with a parameter K that nothing repeats by is told so", () => {
    expect(said("  repeat K\n", "")).toMatchInlineSnapshot(`
      "error[PHD0308]: \`K\` is the repeat count, 1 here, but the parameter \`K\` is 2
        m.phd:4:31
      4 |   param layers = 2, dim = 64, K = 2, W = 4
        |                               ^ the parameter
      Hint: Write \`repeat K\` in the model, or rename the parameter."
    `);
  });

  it("that replaces what was never declared is told how to declare it", () => {
    expect(said("    for", "    y = x\n    for")).toMatchInlineSnapshot(`
      "error[PHD0101]: There is nothing called \`y\` here
        m.phd:10:5
      10 |     y = x
         |     ^
      Hint: A new name is declared with \`let y = …\` or \`var\`."
    `);
  });

  it("with a misspelled part is told the nearest", () => {
    expect(said("forward(", "foward(")).toContain("Hint: Did you mean `forward`?");
    expect(said("repeat K", "repeet K")).toContain("Hint: Did you mean `repeat`?");
  });

  it("with signs of a word processor is told the plain ones", () => {
    expect(said('"e"', "“e”")).toContain('Hint: Strings stand in double quotes: `"`.');
    expect(said("phd_swa(q, k, W)", "phd(q, k) and q.pos ≥ k.pos")).toContain("Hint: Write `>=`.");
  });

  it("with a word of the language where a value stands is told that a value is expected", () => {
    expect(said("llama_block(x, 4,", "llama_block(x, fn,")).toContain("Expected an expression, but found `fn`");
  });
});
