import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DiagnosticCollector } from "../../../src/diagnostics/diagnostic.js";
import { formatSource } from "../../../src/dsl/syntax/format.js";
import { lexer } from "../../../src/dsl/syntax/tokens.js";
import { bundledTexts } from "./support.js";

function format(text: string): string {
  const diagnostics = new DiagnosticCollector();
  const formatted = formatSource({ name: "model.phd", text }, diagnostics);
  if (formatted === undefined) throw new Error(diagnostics.diagnostics.map(({ message }) => message).join("\n"));
  return formatted;
}

/** Everything that carries meaning, and the comments, in order. */
function wordsOf(text: string): { words: string[]; comments: string[] } {
  const lexed = lexer.tokenize(text);
  return {
    words: lexed.tokens.map((token) => token.image),
    comments: (lexed.groups["comments"] ?? []).map((token) => token.image.trimEnd()),
  };
}

/** The same words with other white space, and comments thrown in. A comment is followed by a line break. */
const respaced = fc
  .record({
    text: fc.constantFrom(...bundledTexts().map(({ text }) => text)),
    gaps: fc.array(fc.constantFrom(" ", "  ", "\n", "\n\n\n", "\t", " // why\n", "\n// on its own\n"), {
      minLength: 40,
    }),
  })
  .map(({ text, gaps }) => {
    const { words } = wordsOf(text);
    return words.map((word, index) => word + gaps[(index * 7) % gaps.length]!).join("");
  });

describe("the formatter", () => {
  it.each(bundledTexts())("leaves $name as it is, because it is formatted", ({ text }) => {
    expect(format(text)).toBe(text);
  });

  it("keeps every word and every comment, whatever the white space", () => {
    fc.assert(
      fc.property(respaced, (text) => {
        expect(wordsOf(format(text))).toEqual(wordsOf(text));
      }),
      { numRuns: 60, seed: 1 },
    );
  });

  it("changes nothing the second time", () => {
    fc.assert(
      fc.property(respaced, (text) => {
        const once = format(text);
        expect(format(once)).toBe(once);
      }),
      { numRuns: 60, seed: 2 },
    );
  });

  it("lays out a model that was written on one line", () => {
    const text = `use std.phd model M{param a=1,b = - 2 repeat 2 attend q->k when original(q,k)or(own(q,k)) forward(ids:[positions]int)->[positions,a]{let x=f( - 1,y=2)if a==1{x=2}else{x=3 y=4}}}`;
    expect(format(text)).toMatchInlineSnapshot(`
      "use std.phd
      model M {
        param a = 1, b = -2
        repeat 2
        attend q -> k when original(q, k) or (own(q, k))
        forward(ids: [positions] int) -> [positions, a] {
          let x = f(-1, y = 2)
          if a == 1 { x = 2 } else {
            x = 3
            y = 4
          }
        }
      }
      "
    `);
  });

  it("aligns neighbouring rules and comments, and hangs `or`", () => {
    const text = `
rule own(q, k) = k.pos == q.pos // own copies


rule recent(q, k, W) =
 k.pos < q.pos // earlier
or   k.pos == q.pos  // the same
   and q.copy > 1
rule short(q, k) = true
rule much_longer(q, k, W) = false
`;
    expect(format(text)).toMatchInlineSnapshot(`
      "rule own(q, k) = k.pos == q.pos  // own copies

      rule recent(q, k, W) =
          k.pos < q.pos   // earlier
       or k.pos == q.pos  // the same
          and q.copy > 1
      rule short(q, k)          = true
      rule much_longer(q, k, W) = false
      "
    `);
  });

  it("aligns what goes on inside parentheses", () => {
    const text = `fn f(
x: [rows, dim],
w: [dim]
) -> [rows, dim] {
let y = rms_norm(x,
w, eps = 1e-6)
return y
}`;
    expect(format(text)).toMatchInlineSnapshot(`
      "fn f(
        x: [rows, dim],
        w: [dim]
      ) -> [rows, dim] {
        let y = rms_norm(x,
                         w, eps = 1e-6)
        return y
      }
      "
    `);
  });

  it("reports syntax errors instead of formatting", () => {
    const diagnostics = new DiagnosticCollector();
    expect(formatSource({ name: "model.phd", text: "model {" }, diagnostics)).toBeUndefined();
    expect(diagnostics.hasErrors).toBe(true);
  });
});
