import { describe, expect, it } from "vitest";
import { reportsOf } from "../dsl/support.js";

describe("syntax errors", () => {
  it("name the word of the language for a foreign operator", () => {
    expect(reportsOf("rule own(q, k) = q.pos == k.pos && k.copy <= q.copy")).toMatchInlineSnapshot(`
      "error[PHD0001]: The language does not use \`&&\`
        model.phd:1:33
      1 | rule own(q, k) = q.pos == k.pos && k.copy <= q.copy
        |                                 ^^
      Hint: Write \`and\`."
    `);
  });

  it("say what was expected, and report several mistakes in one run", () => {
    const text = `model Tiny {
  param layers 4
  require
  repeat 2
  forward(ids [positions] int) -> [positions, vocab] {
    let = 3
    x = y +
  }
}`;
    expect(reportsOf(text)).toMatchInlineSnapshot(`
      "error[PHD0002]: Unexpected \`4\` after \`layers\`
        model.phd:2:16
      2 |   param layers 4
        |                ^
      Hint: Is there an \`=\` missing, as in \`layers = 4\`?

      error[PHD0002]: Unexpected \`2\` after \`repeat\`
        model.phd:4:10
      4 |   repeat 2
        |          ^

      error[PHD0002]: Expected \`:\`, but found \`[\`
        model.phd:5:15
      5 |   forward(ids [positions] int) -> [positions, vocab] {
        |               ^

      error[PHD0002]: Expected a name, but found \`=\`
        model.phd:6:9
      6 |     let = 3
        |         ^

      error[PHD0002]: Expected an expression, but found \`}\`
        model.phd:8:3
      8 |   }
        |   ^"
    `);
  });

  it("explain `=` where a comparison is meant", () => {
    expect(reportsOf("rule own(q, k) = q.pos = k.pos")).toMatchInlineSnapshot(`
      "error[PHD0002]: Unexpected \`=\` after \`pos\`
        model.phd:1:24
      1 | rule own(q, k) = q.pos = k.pos
        |                        ^
      Hint: \`=\` gives a name its value; \`==\` compares."
    `);
  });

  it("point at a string that is not closed", () => {
    expect(reportsOf('model Tiny {\n  param a = "llama\n}')).toMatchInlineSnapshot(`
      "error[PHD0003]: This string is not closed on its line
        model.phd:2:13
      2 |   param a = "llama
        |             ^^^^^^
      Hint: Close it with \`"\`."
    `);
  });

  it("refuse brackets that nest without end", () => {
    expect(reportsOf(`index deep(t) = ${"(".repeat(100)}t.pos${")".repeat(100)}`)).toMatchInlineSnapshot(`
      "error[PHD0004]: This nests more than 60 levels deep
        model.phd:1:77
      1 | ((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((t.pos)))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))
        |                                         ^
      Hint: Name the inner parts with \`let\`, \`index\` or \`rule\`."
    `);
  });

  it("refuse expressions that nest without brackets", () => {
    expect(reportsOf(`index deep(t) = ${"- ".repeat(100_000)}t.pos`)).toMatchInlineSnapshot(`
      "error[PHD0004]: This nests more than 200 levels deep
        model.phd:1:199617
      1 | - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - 
        |                                         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      Hint: Name the inner parts with \`let\`, \`index\` or \`rule\`."
    `);
  });

  it("do not read a file that cannot be a model", () => {
    expect(reportsOf("x".repeat(2_000_000))).toMatchInlineSnapshot(`
      "error[PHD0005]: This text has 2000000 characters; a model has at most 250000
        model.phd:1:1
      1 | xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
        | ^
      Hint: Is this a \`.phd\` file?"
    `);
  });

  it("refuse names that no message could repeat", () => {
    expect(reportsOf(`index ${"a".repeat(300)}(t) = t.pos`).split("\n")[0]).toMatchInlineSnapshot(
      `"error[PHD0012]: This word has 300 characters, and at most 200 are allowed"`,
    );
  });

  it("refuse integers that are not exact", () => {
    expect(reportsOf("index big(t) = 99999999999999999999")).toMatchInlineSnapshot(`
      "error[PHD0006]: This integer is larger than 2^53 - 1
        model.phd:1:16
      1 | index big(t) = 99999999999999999999
        |                ^^^^^^^^^^^^^^^^^^^^"
    `);
  });

  it("say which words cannot be names", () => {
    expect(reportsOf("model Tiny {\n  param model = 3\n}")).toMatchInlineSnapshot(`
      "error[PHD0007]: \`model\` is a word of the language and cannot be a name
        model.phd:2:9
      2 |   param model = 3
        |         ^^^^^
      Hint: Choose another name, for instance \`model_\`."
    `);
  });

  it("explain that comparisons do not chain", () => {
    expect(reportsOf("rule near(q, k) = 0 < q.pos - k.pos < 16")).toMatchInlineSnapshot(`
      "error[PHD0008]: Comparisons do not chain
        model.phd:1:37
      1 | rule near(q, k) = 0 < q.pos - k.pos < 16
        |                                     ^
      Hint: Write \`a < b and b < c\`."
    `);
  });

  it("show where a bracket that is never closed was opened", () => {
    expect(reportsOf("model Tiny {\n  param layers = (4\n")).toMatchInlineSnapshot(`
      "error[PHD0009]: \`(\` is never closed
        model.phd:2:18
      2 |   param layers = (4
        |                  ^ opened here
      Hint: Close it with \`)\`."
    `);
  });

  it("show both brackets where one closes another", () => {
    expect(reportsOf("index a(t) = (t.pos]")).toMatchInlineSnapshot(`
      "error[PHD0009]: \`(\` is never closed
        model.phd:1:14
      1 | index a(t) = (t.pos]
        |              ^ opened here
        |                    - \`]\` closes another kind
      Hint: Close it with \`)\`."
    `);
  });

  it("point at a bracket that closes nothing", () => {
    expect(reportsOf("index a(t) = t.pos)")).toMatchInlineSnapshot(`
      "error[PHD0010]: Nothing is open that \`)\` could close
        model.phd:1:19
      1 | index a(t) = t.pos)
        |                   ^"
    `);
  });

  it("stop listing after twenty", () => {
    const reports = reportsOf(`model Tiny {\n${"param = 3\n".repeat(30)}}`);
    expect(reports.match(/^error/gm)).toHaveLength(21);
    expect(reports.split("\n\n").at(-1)).toMatchInlineSnapshot(`"error[PHD0011]: 10 more syntax errors are not shown"`);
  });

  it("place `use` at the top", () => {
    expect(reportsOf("index a(t) = t.pos\nuse std.phd")).toMatchInlineSnapshot(`
      "error[PHD0002]: Unexpected \`use\` after \`pos\`
        model.phd:2:1
      2 | use std.phd
        | ^^^
      Hint: Every \`use\` stands at the top of the file."
    `);
  });

  it("keep a hostile line from filling the terminal, and its control characters from steering it", () => {
    const reports = reportsOf(`index a(t) = ${"t.pos + ".repeat(500)}\u001b[31m?`);
    expect(Math.max(...reports.split("\n").map((line) => line.length))).toBeLessThan(250);
    expect(reports).not.toContain("\u001b");
  });
});
