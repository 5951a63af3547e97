import { describe, expect, it } from "vitest";
import { modelText, reportsOf } from "../dsl/support.js";

describe("parameter errors", () => {
  it("suggest the parameter that --set may have meant", () => {
    expect(reportsOf(modelText({}), { set: { layer: "3", windows: "4" } })).toMatchInlineSnapshot(`
      "error[PHD0301]: The model Tiny has no parameter \`layer\`
      Hint: Did you mean \`layers\`?

      error[PHD0301]: The model Tiny has no parameter \`windows\`
      Hint: Its parameters are \`vocab\`, \`layers\`, \`dim\`, \`heads\`, \`head_dim\`, \`K\`."
    `);
  });

  it("want a value of the default's type", () => {
    const text = modelText({ params: ', theta = 10000.0, scaling = "none", tied = false' });
    const set = { layers: "many", theta: "x", tied: "yes", heads: "2.5" };
    expect(reportsOf(text, { set })).toMatchInlineSnapshot(`
      "error[PHD0302]: The parameter \`layers\` is an integer, and cannot be set to \`many\`
        model.phd:4:21
      4 |   param vocab = 32, layers = 4, dim = 16, heads = 2, head_dim = 8, K = 2, theta = 10000.0, scaling = "none", tied = false
        |                     ^^^^^^ declared here

      error[PHD0302]: The parameter \`heads\` is an integer, and cannot be set to \`2.5\`
        model.phd:4:43
      4 |   param vocab = 32, layers = 4, dim = 16, heads = 2, head_dim = 8, K = 2, theta = 10000.0, scaling = "none", tied = false
        |                                           ^^^^^ declared here

      error[PHD0302]: The parameter \`theta\` is a real number, and cannot be set to \`x\`
        model.phd:4:75
      4 |   param vocab = 32, layers = 4, dim = 16, heads = 2, head_dim = 8, K = 2, theta = 10000.0, scaling = "none", tied = false
        |                                                                           ^^^^^ declared here

      error[PHD0302]: The parameter \`tied\` is a truth value, and cannot be set to \`yes\`
        model.phd:4:110
      4 |   param vocab = 32, layers = 4, dim = 16, heads = 2, head_dim = 8, K = 2, theta = 10000.0, scaling = "none", tied = false
        |                                                                                                              ^^^^ declared here"
    `);
    expect(reportsOf(text, { set: { layers: "3", theta: "5e5", tied: "true", scaling: "llama3" } })).toBe("");
  });

  it("want a value for a parameter without a default", () => {
    expect(reportsOf(modelText({ params: ", window" }))).toMatchInlineSnapshot(`
      "error[PHD0303]: The parameter \`window\` has no value
        model.phd:4:75
      4 |   param vocab = 32, layers = 4, dim = 16, heads = 2, head_dim = 8, K = 2, window
        |                                                                           ^^^^^^
      Hint: Give it a default, or pass \`--set window=…\`."
    `);
    expect(reportsOf(modelText({ params: ", window" }), { set: { window: 3 } })).toBe("");
  });

  it("show the values under which a requirement fails", () => {
    const text = modelText({ params: ", kv_heads = 2", items: "require heads mod kv_heads == 0, K >= 1" });
    expect(reportsOf(text, { set: { heads: 3, K: 0 } })).toMatchInlineSnapshot(`
      "error[PHD0306]: The number of copies must be from 1 to 1024, and not 0
        model.phd:5:10
      5 |   repeat K
        |          ^

      error[PHD0304]: The requirement \`heads mod kv_heads == 0\` does not hold with heads = 3, kv_heads = 2
        model.phd:8:11
      8 |   require heads mod kv_heads == 0, K >= 1
        |           ^^^^^^^^^^^^^^^^^^^^^^^

      error[PHD0304]: The requirement \`K >= 1\` does not hold with K = 0
        model.phd:8:36
      8 |   require heads mod kv_heads == 0, K >= 1
        |                                    ^^^^^^"
    `);
  });

  it("stop at numbers that are not exact", () => {
    expect(reportsOf(modelText({ params: ", big = 3000000000 * 3000000000 * 3" }))).toMatchInlineSnapshot(`
      "error[PHD0305]: \`3000000000 * 3000000000\` is too large a number
        model.phd:4:81
      4 |   param vocab = 32, layers = 4, dim = 16, heads = 2, head_dim = 8, K = 2, big = 3000000000 * 3000000000 * 3
        |                                                                                 ^^^^^^^^^^^^^^^^^^^^^^^"
    `);
  });

  it("bound layers, copies and sizes", () => {
    const text = modelText({});
    expect(reportsOf(text, { set: { layers: 1_000_000_000 } })).toMatchInlineSnapshot(`
      "error[PHD0306]: The number of layers must be from 1 to 4096, and not 1000000000
        model.phd:11:14
      11 |     for l in layers within "layers.{l}" {
         |              ^^^^^^"
    `);
    expect(reportsOf(text, { set: { layers: 0 } })).toMatchInlineSnapshot(`
      "error[PHD0306]: The number of layers must be from 1 to 4096, and not 0
        model.phd:11:14
      11 |     for l in layers within "layers.{l}" {
         |              ^^^^^^"
    `);
    expect(reportsOf(text, { set: { K: 100_000 } })).toMatchInlineSnapshot(`
      "error[PHD0306]: The number of copies must be from 1 to 1024, and not 100000
        model.phd:5:10
      5 |   repeat K
        |          ^"
    `);
    expect(reportsOf(text, { set: { head_dim: 1024 } })).toMatchInlineSnapshot(`
      "error[PHD0306]: The width of a head must be from 1 to 256, and not 1024
        model.phd:14:35
      14 |       x += linear(merge(attention(rope(q), rope(q), q)), weight "o" [dim, heads * head_dim])
         |                                   ^^^^^^^"
    `);
    expect(reportsOf(text, { set: { vocab: -1 } })).toMatchInlineSnapshot(`
      "error[PHD0306]: The dimension \`vocab\` must be from 1 to 2147483647, and not -1
        model.phd:10:47
      10 |     var x = repeat(embed(ids, weight "embed" [vocab, dim]))
         |                                               ^^^^^

      error[PHD0306]: The dimension \`vocab\` must be from 1 to 2147483647, and not -1
        model.phd:16:46
      16 |     predict copy K: linear(x, weight "head" [vocab, dim])
         |                                              ^^^^^"
    `);
  });

  it("bound the numbers of a relation", () => {
    expect(reportsOf(modelText({ attend: "q.pos - k.pos <= 4000000000" }))).toMatchInlineSnapshot(`
      "error[PHD0306]: A number in \`q.pos - k.pos <= 4000000000\` must be from -1073741824 to 1073741824, and not 4000000000
        model.phd:6:22
      6 |   attend q -> k when q.pos - k.pos <= 4000000000
        |                      ^^^^^^^^^^^^^^^^^^^^^^^^^^^
      Hint: No sequence is as long: leave out a bound that nothing reaches, and make factors smaller on both sides."
    `);
  });

  it("refuse to divide by zero", () => {
    expect(reportsOf(modelText({ params: ", part = dim div (heads - 2)" }))).toMatchInlineSnapshot(`
      "error[PHD0307]: \`div\` by zero
        model.phd:4:90
      4 |   param vocab = 32, layers = 4, dim = 16, heads = 2, head_dim = 8, K = 2, part = dim div (heads - 2)
        |                                                                                          ^^^^^^^^^^^"
    `);
    expect(reportsOf(modelText({ attend: "q.pos div 0 == k.pos mod -3" }))).toMatchInlineSnapshot(`
      "error[PHD0307]: \`div\` by zero
        model.phd:6:32
      6 |   attend q -> k when q.pos div 0 == k.pos mod -3
        |                                ^

      error[PHD0307]: \`mod\` needs a positive divisor, and this is -3
        model.phd:6:47
      6 |   attend q -> k when q.pos div 0 == k.pos mod -3
        |                                               ^^
      Hint: Remainders are never negative: \`x mod 3\` says the same of every x."
    `);
  });

  it("keep K for the repeat count", () => {
    expect(reportsOf(modelText({}).replace("repeat K", "repeat 3"))).toMatchInlineSnapshot(`
      "error[PHD0308]: \`K\` is the repeat count, 3 here, but the parameter \`K\` is 2
        model.phd:5:10
      5 |   repeat 3
        |          ^
        model.phd:4:68
      4 |   param vocab = 32, layers = 4, dim = 16, heads = 2, head_dim = 8, K = 2
        |                                                                    - the parameter
      Hint: Write \`repeat K\` in the model, or rename the parameter."
    `);
  });

  it("want one of each statement that is made once", () => {
    expect(reportsOf(modelText({ items: "repeat 2\n  rotate t by 0" }))).toMatchInlineSnapshot(`
      "error[PHD0309]: The model already has a \`repeat\`
        model.phd:8:3
      8 |   repeat 2
        |   ^^^^^^^^
        model.phd:5:3
      5 |   repeat K
        |   -------- the first one

      error[PHD0309]: The model already has a \`rotate\`
        model.phd:9:3
      9 |   rotate t by 0
        |   ^^^^^^^^^^^^^
        model.phd:7:3
      7 |   rotate t by t.pos
        |   ----------------- the first one
      Hint: For some layers only, write it inside the layer loop."
    `);
  });
});
