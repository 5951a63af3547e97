import { describe, expect, it } from "vitest";
import { modelText, reportsOf } from "../dsl/support.js";

describe("name errors", () => {
  it("suggest the nearest name", () => {
    expect(reportsOf(modelText({ layer: "let y = split(q, hed_dim)" }))).toMatchInlineSnapshot(`
      "error[PHD0101]: There is nothing called \`hed_dim\` here
        model.phd:13:24
      13 |       let y = split(q, hed_dim)
         |                        ^^^^^^^
      Hint: Did you mean \`head_dim\`?"
    `);
  });

  it("suggest the nearest rule", () => {
    expect(reportsOf(modelText({ attend: "phd_swaa(q, k, 4)" }))).toMatchInlineSnapshot(`
      "error[PHD0102]: There is no function, index or rule called \`phd_swaa\`
        model.phd:6:22
      6 |   attend q -> k when phd_swaa(q, k, 4)
        |                      ^^^^^^^^
      Hint: Did you mean \`phd_swa\`?"
    `);
  });

  it("name the library that has what is missing", () => {
    expect(reportsOf(modelText({ layer: "let y = swiglu(x, 32)" }))).toMatchInlineSnapshot(`
      "error[PHD0102]: There is no function, index or rule called \`swiglu\`
        model.phd:13:15
      13 |       let y = swiglu(x, 32)
         |               ^^^^^^
      Hint: It is in a library: add \`use std.nn\` at the top of the file."
    `);
  });

  it("show both declarations of a name", () => {
    expect(reportsOf(modelText({ params: ", dim = 3" }))).toMatchInlineSnapshot(`
      "error[PHD0103]: \`dim\` is declared twice
        model.phd:4:75
      4 |   param vocab = 32, layers = 4, dim = 16, heads = 2, head_dim = 8, K = 2, dim = 3
        |                                                                           ^^^ declared again
        |                                 --- declared here
      Hint: Give one of them another name."
    `);
    expect(reportsOf(modelText({ above: "rule a(q, k) = true\nrule a(q, k) = false" }))).toMatchInlineSnapshot(`
      "error[PHD0103]: \`a\` is declared twice
        model.phd:3:6
      3 | rule a(q, k) = false
        |      ^ declared again
        model.phd:2:6
      2 | rule a(q, k) = true
        |      - declared here
      Hint: Give one of them another name."
    `);
    expect(reportsOf(modelText({ above: "rule a(q, q) = true" }))).toMatchInlineSnapshot(`
      "error[PHD0103]: \`q\` is declared twice
        model.phd:2:11
      2 | rule a(q, q) = true
        |           ^ declared again
        |        - declared here
      Hint: Give one of them another name."
    `);
    expect(reportsOf(modelText({ layer: "let y = x\nlet y = x" }))).toMatchInlineSnapshot(`
      "error[PHD0103]: \`y\` is declared twice
        model.phd:14:5
      14 | let y = x
         |     ^ declared again
        model.phd:13:11
      13 |       let y = x
         |           - declared here
      Hint: Give one of them another name."
    `);
  });

  it("refuse rules that need themselves", () => {
    const above = "rule a(q, k) = b(q, k)\nrule b(q, k) = k.pos < q.pos or a(q, k)";
    expect(reportsOf(modelText({ above, attend: "a(q, k)" }))).toMatchInlineSnapshot(`
      "error[PHD0104]: \`a\` calls itself, through \`b\`
        model.phd:3:33
      3 | rule b(q, k) = k.pos < q.pos or a(q, k)
        |                                 ^^^^^^^"
    `);
  });

  it("refuse functions that need themselves", () => {
    const above = "fn f(x: [rows, dim]) -> [rows, dim] = f(x)";
    expect(reportsOf(modelText({ above, layer: "x += f(x)" }))).toMatchInlineSnapshot(`
      "error[PHD0104]: \`f\` calls itself
        model.phd:2:39
      2 | fn f(x: [rows, dim]) -> [rows, dim] = f(x)
        |                                       ^^^^"
    `);
  });

  it("list the libraries", () => {
    expect(reportsOf(`use std.phdd\nuse my.rules\n${modelText({})}`)).toMatchInlineSnapshot(`
      "error[PHD0105]: There is no library \`std.phdd\`
        model.phd:1:1
      1 | use std.phdd
        | ^^^^^^^^^^^^
      Hint: Did you mean \`std.phd\`?

      error[PHD0105]: There is no library \`my.rules\`
        model.phd:2:1
      2 | use my.rules
        | ^^^^^^^^^^^^
      Hint: The libraries are \`std.llama\`, \`std.nn\`, \`std.olmo2\`, \`std.phd\`, \`std.qwen2\`, \`std.qwen3\`, \`std.rope\`."
    `);
  });

  it("want one model in a file", () => {
    expect(reportsOf("rule a(q, k) = true")).toMatchInlineSnapshot(`
      "error[PHD0106]: \`model.phd\` declares no model
        model.phd:1:1
      1 | rule a(q, k) = true
        | ^
      Hint: Declare one: \`model Name { … }\`."
    `);
    expect(reportsOf("rule a(q, k) = q.pos <= L").match(/PHD\d+/g)).toEqual(["PHD0106", "PHD0101"]);
    expect(reportsOf("model A {}\nmodel B {}")).toMatchInlineSnapshot(`
      "error[PHD0107]: A file describes one model, and this is a second one
        model.phd:2:7
      2 | model B {}
        |       ^
        model.phd:1:7
      1 | model A {}
        |       - the first one

      error[PHD0211]: There is no \`forward\`
        model.phd:1:7
      1 | model A {}
        |       ^
      Hint: Add \`forward(ids: [positions] int) -> [positions, vocab] { … }\`."
    `);
  });

  it("keep builtins as they are", () => {
    expect(reportsOf(modelText({ above: "fn linear(x: [rows, dim]) -> [rows, dim] = x" }))).toMatchInlineSnapshot(`
      "error[PHD0108]: \`linear\` is a builtin and cannot be defined again
        model.phd:2:4
      2 | fn linear(x: [rows, dim]) -> [rows, dim] = x
        |    ^^^^^^"
    `);
  });

  it("tell functions and values apart", () => {
    expect(reportsOf(modelText({ attend: "phd" }))).toMatchInlineSnapshot(`
      "error[PHD0109]: \`phd\` must be called with arguments
        model.phd:6:22
      6 |   attend q -> k when phd
        |                      ^^^
      Hint: Write \`phd(…)\`."
    `);
    expect(reportsOf(modelText({ layer: "let y = heads(x)" }))).toMatchInlineSnapshot(`
      "error[PHD0109]: \`heads\` is a value and cannot be called
        model.phd:13:15
      13 |       let y = heads(x)
         |               ^^^^^"
    `);
  });

  it("know the two coordinates of a token", () => {
    expect(reportsOf(modelText({ attend: "q.poss >= k.pos and q.index > 0" }))).toMatchInlineSnapshot(`
      "error[PHD0110]: A token has no \`poss\`
        model.phd:6:24
      6 |   attend q -> k when q.poss >= k.pos and q.index > 0
        |                        ^^^^
      Hint: Did you mean \`pos\`?

      error[PHD0110]: A token has no \`index\`
        model.phd:6:44
      6 |   attend q -> k when q.poss >= k.pos and q.index > 0
        |                                            ^^^^^
      Hint: Its coordinates are \`pos\` and \`copy\`."
    `);
    expect(reportsOf(modelText({ attend: "q.pos - k.pos <= dim.pos" }))).toMatchInlineSnapshot(`
      "error[PHD0111]: \`dim\` is an integer and has no coordinates
        model.phd:6:39
      6 |   attend q -> k when q.pos - k.pos <= dim.pos
        |                                       ^^^"
    `);
  });

  it("check the arguments of calls", () => {
    expect(
      reportsOf(modelText({ layer: 'let y = rms_norm(x, weight "n" [dim], epss = 1e-6)' })),
    ).toMatchInlineSnapshot(`
      "error[PHD0112]: \`rms_norm\` takes no argument \`epss\`
        model.phd:13:45
      13 |       let y = rms_norm(x, weight "n" [dim], epss = 1e-6)
         |                                             ^^^^
      Hint: Did you mean \`eps\`?"
    `);
    expect(reportsOf(modelText({ layer: "let y = split(x, 2, heads = 2)" }))).toMatchInlineSnapshot(`
      "error[PHD0113]: \`split\` gets \`heads\` twice
        model.phd:13:27
      13 |       let y = split(x, 2, heads = 2)
         |                           ^^^^^^^^^"
    `);
    expect(reportsOf(modelText({ layer: "let y = split(x)" }))).toMatchInlineSnapshot(`
      "error[PHD0114]: \`split\` needs an argument \`heads\`
        model.phd:13:15
      13 |       let y = split(x)
         |               ^^^^^^^^
      Hint: It takes \`x\`, \`heads\`."
    `);
    expect(reportsOf(modelText({ layer: "let y = silu(x, x)" }))).toMatchInlineSnapshot(`
      "error[PHD0115]: \`silu\` does not take 2 arguments
        model.phd:13:23
      13 |       let y = silu(x, x)
         |                       ^
      Hint: It takes \`x\`."
    `);
  });

  it("say how to declare what is replaced", () => {
    expect(reportsOf(modelText({ layer: "q += q" }))).toMatchInlineSnapshot(`
      "error[PHD0116]: \`q\` cannot be replaced
        model.phd:13:7
      13 |       q += q
         |       ^
        model.phd:12:11
      12 |       let q = split(linear(x, weight "q" [heads * head_dim, dim]), heads)
         |           - declared here
      Hint: Declare it with \`var q = …\`."
    `);
  });

  it("refuse a name that two libraries define", () => {
    const library = { "a.phd": "rule near(q, k) = true", "b.phd": "rule near(q, k) = false", "phd.phd": "" };
    const text = `use std.a\nuse std.b\n${modelText({ attend: "near(q, k)" })}`;
    expect(reportsOf(text, { library })).toMatchInlineSnapshot(`
      "error[PHD0117]: \`near\` is defined in std/a.phd and in std/b.phd
        model.phd:8:22
      8 |   attend q -> k when near(q, k)
        |                      ^^^^
      Hint: Drop one \`use\`, or define the name in this file."
    `);
  });

  it("fill placeholders with what is known", () => {
    expect(reportsOf(modelText({ layer: 'let y = weight "a.{i}" [dim]' }))).toMatchInlineSnapshot(`
      "error[PHD0118]: There is nothing called \`i\` to fill in
        model.phd:13:22
      13 |       let y = weight "a.{i}" [dim]
         |                      ^^^^^^^"
    `);
    expect(reportsOf(modelText({ layer: 'let y = weight "a.{q}" [dim]' }))).toMatchInlineSnapshot(`
      "error[PHD0118]: \`q\` is a tensor and cannot be part of a name
        model.phd:13:22
      13 |       let y = weight "a.{q}" [dim]
         |                      ^^^^^^^"
    `);
  });

  it("find misspelled names in rules and branches that nothing uses", () => {
    const above = "rule unused(q, k) = q.pos - k.pos <= Window";
    const layer = "if heads == 7 { x += linar(x, x) }";
    expect(reportsOf(modelText({ above, layer }))).toMatchInlineSnapshot(`
      "error[PHD0101]: There is nothing called \`Window\` here
        model.phd:2:38
      2 | rule unused(q, k) = q.pos - k.pos <= Window
        |                                      ^^^^^^

      error[PHD0102]: There is no function, index or rule called \`linar\`
        model.phd:13:28
      13 |       if heads == 7 { x += linar(x, x) }
         |                            ^^^^^
      Hint: Did you mean \`linear\`?"
    `);
  });
});
