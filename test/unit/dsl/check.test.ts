import { describe, expect, it } from "vitest";
import { check, modelText, reportsOf } from "./support.js";

const layer = (text: string, params = "") => reportsOf(modelText({ layer: text, params }));

describe("the checker", () => {
  it("accepts a model and keeps its parameters with their values", () => {
    const { model, diagnostics } = check(modelText({ params: ', eps = 1e-6, scaling = "none", tied = true' }), {
      set: { eps: "1e-5", layers: 2 },
    });
    expect(diagnostics).toEqual([]);
    const values = Object.fromEntries(model!.params.map(({ name, value }) => [name, value]));
    expect(values).toMatchObject({ layers: 2, dim: 16, eps: 1e-5, scaling: "none", tied: true });
  });

  it("computes a default from the parameters before it, overrides included", () => {
    const { model } = check(modelText({ params: ", ffn = 4 * dim, half = dim div 2" }), { set: { dim: 32 } });
    const values = Object.fromEntries(model!.params.map(({ name, value }) => [name, value]));
    expect(values).toMatchObject({ ffn: 128, half: 16 });
  });

  it("checks the type that a `let` states", () => {
    expect(layer("let y: [tokens, dim] = silu(x)")).toBe("");
    expect(layer("let y: [tokens, heads] = silu(x)")).toMatchInlineSnapshot(`
      "error[PHD0203]: \`y\`: expected [tokens, heads], and found [tokens, dim]
        model.phd:13:32
      13 |       let y: [tokens, heads] = silu(x)
         |                                ^^^^^^^ this is [tokens, dim]
         |              --------------- declared as [tokens, heads]"
    `);
    expect(layer("let n: real = 3\n let y = x * n")).toBe("");
  });

  it("chooses by parameters, and leaves the other branch alone", () => {
    const text = modelText({
      params: ', scaling = "none"',
      layer: 'if scaling == "wide" { x = x + nothing(x) } else { x += x }',
    });
    expect(reportsOf(text)).toMatchInlineSnapshot(`
      "error[PHD0102]: There is no function, index or rule called \`nothing\`
        model.phd:13:38
      13 |       if scaling == "wide" { x = x + nothing(x) } else { x += x }
         |                                      ^^^^^^^"
    `);
    const sound = text.replace("nothing(x)", "split(x, 3)");
    expect(reportsOf(sound)).toBe("");
    expect(reportsOf(sound, { set: { scaling: "wide" } })).not.toBe("");
  });

  it("computes with numbers as the language says", () => {
    const holds = (condition: string) => reportsOf(modelText({ items: `require ${condition}` }));
    expect(holds("7 div 2 == 3 and -7 div 2 == -4 and -7 mod 3 == 2")).toBe("");
    expect(holds("7 / 2 == 3.5 and 2 ^ 10 == 1024 and sqrt(16) == 4")).toBe("");
    expect(holds("min(2, 3) == 2 and max(2, 3.5) == 3.5 and floor(2.7) == 2 and ceil(2.1) == 3 and abs(-4) == 4")).toBe(
      "",
    );
    expect(holds('"a" != "b" and (true == (not false))')).toBe("");
    expect(holds("cos(0) == 1 and exp(0) == 1 and log(1) == 0 and sin(pi) < 0.001")).toBe("");
  });

  it("reports every mistake of a model in one run", () => {
    const text = modelText({
      params: ", unset",
      attend: "phd(q, k) and q.pso > 0",
      layer: "let y = silu(1)\n let z = split(x, 3)",
      items: "require dim == 17",
    });
    expect(reportsOf(text).match(/PHD\d+/g)).toEqual(["PHD0303", "PHD0304", "PHD0110", "PHD0201", "PHD0207"]);
  });

  it("reports a mistake in a function once, however often it is called", () => {
    const above = "fn f(x: [rows, dim]) -> [rows, dim] = silu(x) * nothing";
    expect(reportsOf(modelText({ above, layer: "x += f(x)\n x += f(x)" })).match(/PHD\d+/g)).toEqual(["PHD0101"]);
  });

  it("stops after fifty reports", () => {
    const rules = Array.from({ length: 100 }, (_, n) => `rule r${n}(q, k) = missing_${n}(q, k)`).join("\n");
    const reports = reportsOf(modelText({ above: rules }));
    expect(reports.match(/PHD0102/g)).toHaveLength(50);
    expect(reports.split("\n\n").at(-1)).toMatchInlineSnapshot(`
      "error[PHD0222]: The check stopped after 50 reports
      Hint: Repair the first ones, and check again."
    `);
  });

  it("gives functions their defaults and named arguments", () => {
    const above = "fn scaled(x: [rows, dim], by: real = 2.0, plus: int = 0) -> [rows, dim] = x * by + plus";
    expect(reportsOf(modelText({ above, layer: "x = scaled(scaled(x), plus = 3, by = 0.5)" }))).toBe("");
  });

  it("keeps functions pure: they see their parameters only", () => {
    const above = "fn f(x: [rows, width]) -> [rows, width] = x * heads";
    expect(reportsOf(modelText({ above, layer: "x += f(x)" }))).toMatchInlineSnapshot(`
      "error[PHD0101]: There is nothing called \`heads\` here
        model.phd:2:47
      2 | fn f(x: [rows, width]) -> [rows, width] = x * heads
        |                                               ^^^^^"
    `);
  });

  it("refuses tensors with more elements than can be counted", () => {
    expect(layer('let y = weight "y" [2000000000, 2000000000, 2]')).toMatchInlineSnapshot(`
      "error[PHD0305]: \`2000000000 * 2000000000 * 2\` is too large a number
        model.phd:13:15
      13 |       let y = weight "y" [2000000000, 2000000000, 2]
         |               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^"
    `);
  });
});
