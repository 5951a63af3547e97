import { describe, expect, it } from "vitest";
import { modelText, reportsOf } from "../dsl/support.js";

const layer = (text: string, params = "") => reportsOf(modelText({ layer: text, params }));

describe("shape and type errors", () => {
  it("want tensors where tensors belong", () => {
    expect(layer("let y = silu(4)")).toMatchInlineSnapshot(`
      "error[PHD0201]: This must be a tensor of real numbers, and is an integer
        model.phd:13:20
      13 |       let y = silu(4)
         |                    ^"
    `);
    expect(layer("let y = split(q, 1.5)")).toMatchInlineSnapshot(`
      "error[PHD0201]: This must be an integer, and is a real number
        model.phd:13:24
      13 |       let y = split(q, 1.5)
         |                        ^^^"
    `);
  });

  it("say which operators tensors have", () => {
    expect(layer("let y = x / x")).toMatchInlineSnapshot(`
      "error[PHD0202]: \`/\` does not work on a tensor [tokens, dim] and a tensor [tokens, dim]
        model.phd:13:17
      13 |       let y = x / x
         |                 ^
      Hint: Tensors are added, subtracted and multiplied."
    `);
    expect(layer("let y = x < x")).toMatchInlineSnapshot(`
      "error[PHD0202]: \`<\` does not work on a tensor [tokens, dim] and a tensor [tokens, dim]
        model.phd:13:17
      13 |       let y = x < x
         |                 ^"
    `);
    expect(layer('let y = "a" * 3')).toMatchInlineSnapshot(`
      "error[PHD0202]: \`*\` does not work on a string and an integer
        model.phd:13:19
      13 |       let y = "a" * 3
         |                   ^"
    `);
    expect(layer("let y = -true")).toMatchInlineSnapshot(`
      "error[PHD0202]: \`-\` does not work on a truth value
        model.phd:13:15
      13 |       let y = -true
         |               ^^^^^"
    `);
  });

  it("compare tokens by coordinates", () => {
    expect(reportsOf(modelText({ attend: "k <= q" }))).toMatchInlineSnapshot(`
      "error[PHD0202]: \`<=\` does not work on a token and a token
        model.phd:6:24
      6 |   attend q -> k when k <= q
        |                        ^^
      Hint: Compare their coordinates: \`q.pos == k.pos\`, or use \`index stream\` of std.phd."
    `);
  });

  it("speak of shapes in the model's own words, and show both places", () => {
    expect(layer('x += linear(x, weight "up" [ffn, dim])', ", ffn = 48")).toMatchInlineSnapshot(`
      "error[PHD0203]: \`+\` needs tensors of one shape: expected [tokens, dim], and found [tokens, ffn]
        model.phd:13:12
      13 |       x += linear(x, weight "up" [ffn, dim])
         |            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ this is [tokens, ffn]
         |       - while this is [tokens, dim]"
    `);
    expect(layer('let y = linear(x, weight "up" [dim, ffn])', ", ffn = 48")).toMatchInlineSnapshot(`
      "error[PHD0203]: \`linear\` needs an input as wide as its weight: expected [tokens, ffn], and found [tokens, dim]
        model.phd:13:22
      13 |       let y = linear(x, weight "up" [dim, ffn])
         |                      ^ this is [tokens, dim]
         |                         ---------------------- while this is [dim, ffn]"
    `);
    expect(layer('let y = rms_norm(x, weight "n" [head_dim])')).toMatchInlineSnapshot(`
      "error[PHD0203]: \`weight\` must be a vector of matching length: expected [dim], and found [head_dim]
        model.phd:13:27
      13 |       let y = rms_norm(x, weight "n" [head_dim])
         |                           ^^^^^^^^^^^^^^^^^^^^^ this is [head_dim]
         |                        - while this is [tokens, dim]"
    `);
    expect(layer('let y = x * weight "n" [head_dim]')).toMatchInlineSnapshot(`
      "error[PHD0203]: \`*\` needs a vector as long as the last dimension: expected [dim], and found [head_dim]
        model.phd:13:19
      13 |       let y = x * weight "n" [head_dim]
         |                   ^^^^^^^^^^^^^^^^^^^^^ this is [head_dim]
         |               - while this is [tokens, dim]"
    `);
  });

  it("find sizes that are equal only by accident, and say how to state that they are", () => {
    expect(layer("x += merge(q)")).toMatchInlineSnapshot(`
      "error[PHD0204]: \`dim\` and \`heads * head_dim\` are both 16 here, but nothing says that they are always equal
        model.phd:13:12
      13 |       x += merge(q)
         |            ^^^^^^^^ this is [tokens, heads * head_dim]
         |       - while this is [tokens, dim]
      Hint: If they are, add \`require dim == heads * head_dim\` to the model."
    `);
    expect(reportsOf(modelText({ layer: "x += merge(q)", items: "require dim == heads * head_dim" }))).toBe("");
  });

  it("keep positions and tokens apart", () => {
    const predict = 'predict copy K: linear(embed(ids, weight "embed" [vocab, dim]), weight "head" [vocab, dim])';
    expect(reportsOf(modelText({ predict }))).toMatchInlineSnapshot(`
      "error[PHD0205]: What \`predict\` takes must become [positions, vocab]: expected a tensor over tokens, and found one over positions
        model.phd:16:21
      16 |     predict copy K: linear(embed(ids, weight "embed" [vocab, dim]), weight "head" [vocab, dim])
         |                     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ this is [positions, vocab]
        model.phd:9:36
       9 |   forward(ids: [positions] int) -> [positions, vocab] {
         |                                    ------------------ declared as [positions, vocab]
      Hint: \`repeat(x)\` turns positions into tokens."
    `);
    expect(
      reportsOf(
        modelText({}).replace(
          'repeat(embed(ids, weight "embed" [vocab, dim]))',
          'embed(ids, weight "embed" [vocab, dim])',
        ),
      ),
    ).toMatchInlineSnapshot(`
      "error[PHD0205]: \`x\` is passed from layer to layer: expected a tensor over tokens, and found one over positions
        model.phd:10:9
      10 |     var x = embed(ids, weight "embed" [vocab, dim])
         |         ^ this is [positions, dim]
      Hint: \`repeat(x)\` turns positions into tokens."
    `);
  });

  it("keep positions out of the layers", () => {
    expect(layer('let y = embed(ids, weight "other" [vocab, dim])')).toMatchInlineSnapshot(`
      "error[PHD0205]: Layers work on tokens: expected a tensor over tokens, and found one over positions
        model.phd:13:15
      13 |       let y = embed(ids, weight "other" [vocab, dim])
         |               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      Hint: \`repeat(x)\` turns positions into tokens."
    `);
  });

  it("know that split and merge undo each other", () => {
    expect(layer("x = merge(split(x, 4))")).toBe("");
  });

  it("want heads for attention", () => {
    expect(layer("let y = merge(attention(x, x, x))")).toMatchInlineSnapshot(`
      "error[PHD0206]: \`q\` must be [tokens, heads, width], and is [tokens, dim]
        model.phd:13:31
      13 |       let y = merge(attention(x, x, x))
         |                               ^
      Hint: \`split(x, heads)\` makes heads."
    `);
  });

  it("want widths that divide evenly", () => {
    expect(layer("let y = split(x, 3)")).toMatchInlineSnapshot(`
      "error[PHD0207]: \`split\`: \`dim\` (16) is not a multiple of 3
        model.phd:13:21
      13 |       let y = split(x, 3)
         |                     ^"
    `);
    expect(layer("let y = rope(split(x, dim))")).toMatchInlineSnapshot(`
      "error[PHD0207]: \`rope\`: 1 is not a multiple of 2
        model.phd:13:20
      13 |       let y = rope(split(x, dim))
         |                    ^^^^^^^^^^^^^"
    `);
    expect(layer("let y = attention(q, split(x, 4), split(x, 4))", ", half = 4")).toMatchInlineSnapshot(`
      "error[PHD0203]: Keys must be as wide as queries: expected [tokens, 4, head_dim], and found [tokens, 4, dim div 4]
        model.phd:13:28
      13 |       let y = attention(q, split(x, 4), split(x, 4))
         |                            ^^^^^^^^^^^ this is [tokens, 4, dim div 4]
         |                         - while this is [tokens, 4, head_dim]"
    `);
  });

  it("explain what may differ from layer to layer", () => {
    expect(layer("let y = x * l")).toMatchInlineSnapshot(`
      "error[PHD0208]: The factor of a tensor cannot be computed from the layer index
        model.phd:13:15
      13 |       let y = x * l
         |               ^^^^^
      Hint: Choose between constants: \`if l mod 4 == 3 { 64 } else { 16 }\`."
    `);
    expect(layer("attend q -> k when phd_swa(q, k, 4 * l)")).toMatchInlineSnapshot(`
      "error[PHD0208]: A relation cannot be computed from the layer index
        std/phd.phd:14:54
      14 | rule recent(q, k, W)      = earlier_hidden(q, k) and hidden(q) - hidden(k) <= W
         |                                                      ^^^^^^^^^^^^^^^^^^^^^^^^^^
        model.phd:13:26
      13 |       attend q -> k when phd_swa(q, k, 4 * l)
         |                          -------------------- in this call of \`phd_swa\`
      Hint: Choose between constants: \`if l mod 4 == 3 { 64 } else { 16 }\`."
    `);
    expect(layer('let y = weight "a" [l + 1]')).toMatchInlineSnapshot(`
      "error[PHD0208]: A shape cannot be computed from the layer index
        model.phd:13:27
      13 |       let y = weight "a" [l + 1]
         |                           ^^^^^
      Hint: Choose between constants: \`if l mod 4 == 3 { 64 } else { 16 }\`."
    `);
  });

  it("want conditions that are known when the model is compiled", () => {
    const attend = "if q.copy > 1 { own(q, k) } else { original(q, k) }";
    expect(reportsOf(modelText({ attend }))).toMatchInlineSnapshot(`
      "error[PHD0209]: The condition of \`if\` must depend on parameters and the layer only, and this is a condition on tokens
        model.phd:6:25
      6 |   attend q -> k when if q.copy > 1 { own(q, k) } else { original(q, k) }
        |                         ^^^^^^^^^^
      Hint: In a relation write \`c and a or not c and b\`."
    `);
    expect(layer("if heads { x += x }")).toMatchInlineSnapshot(`
      "error[PHD0209]: The condition of \`if\` must depend on parameters and the layer only, and this is an integer
        model.phd:13:10
      13 |       if heads { x += x }
         |          ^^^^^"
    `);
  });

  it("know the form of forward", () => {
    const text = modelText({}).replace(
      "forward(ids: [positions] int) -> [positions, vocab]",
      "forward(ids: [tokens] int) -> [tokens, vocab]",
    );
    expect(reportsOf(text)).toMatchInlineSnapshot(`
      "error[PHD0210]: The argument of \`forward\` must be [positions] int, and is [tokens] int
        model.phd:9:16
      9 |   forward(ids: [tokens] int) -> [tokens, vocab] {
        |                ^^^^^^^^^^^^

      error[PHD0210]: The result of \`forward\` must be [positions, vocab], and is [tokens, vocab]
        model.phd:9:33
      9 |   forward(ids: [tokens] int) -> [tokens, vocab] {
        |                                 ^^^^^^^^^^^^^^^"
    `);
  });

  it("name the part that is missing", () => {
    expect(reportsOf("model Tiny { param a = 1 }")).toMatchInlineSnapshot(`
      "error[PHD0211]: There is no \`forward\`
        model.phd:1:7
      1 | model Tiny { param a = 1 }
        |       ^^^^
      Hint: Add \`forward(ids: [positions] int) -> [positions, vocab] { … }\`."
    `);
    expect(
      reportsOf(
        modelText({})
          .replace(/ {2}attend .*\n/, "")
          .replace(/ {2}rotate .*\n/, ""),
      ),
    ).toMatchInlineSnapshot(`
      "error[PHD0211]: There is no \`rotate\`, so \`rope\` does not know by which index to turn a token
        model.phd:12:35
      12 |       x += linear(merge(attention(rope(q), rope(q), q)), weight "o" [dim, heads * head_dim])
         |                                   ^^^^^^^
      Hint: Add \`rotate t by t.pos\` to the model.

      error[PHD0211]: There is no \`rotate\`, so \`rope\` does not know by which index to turn a token
        model.phd:12:44
      12 |       x += linear(merge(attention(rope(q), rope(q), q)), weight "o" [dim, heads * head_dim])
         |                                            ^^^^^^^
      Hint: Add \`rotate t by t.pos\` to the model."
    `);
    expect(reportsOf(modelText({ predict: "let y = x" }))).toMatchInlineSnapshot(`
      "error[PHD0211]: There is no \`predict\`, so the model has no result
        model.phd:9:3
      9 |   forward(ids: [positions] int) -> [positions, vocab] {
        |   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      Hint: End \`forward\` with \`predict copy K: …\`."
    `);
    const above = "fn f(x: [rows, dim]) -> [rows, dim] { let y = x }";
    expect(reportsOf(modelText({ above, layer: "x += f(x)" }))).toMatchInlineSnapshot(`
      "error[PHD0211]: There is no \`return\`, so \`f\` has no result
        model.phd:2:4
       2 | fn f(x: [rows, dim]) -> [rows, dim] { let y = x }
         |    ^
        model.phd:13:12
      13 |       x += f(x)
         |            ---- in this call of \`f\`
      Hint: End the function with \`return …\`."
    `);
  });

  it("know where statements belong", () => {
    expect(reportsOf(modelText({ predict: "return x" }))).toMatchInlineSnapshot(`
      "error[PHD0212]: \`forward\` ends with \`predict\`, not with \`return\`
        model.phd:16:12
      16 |     return x
         |            ^
      Hint: Write \`predict copy K: …\`."
    `);
    expect(layer("return x")).toMatchInlineSnapshot(`
      "error[PHD0212]: Nothing runs after \`return\`
        model.phd:14:7
      14 |       x += linear(merge(attention(rope(q), rope(q), q)), weight "o" [dim, heads * head_dim])
         |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
        model.phd:13:7
      13 |       return x
         |       -------- the block ends here

      error[PHD0212]: \`return\` cannot stand inside the layer loop
        model.phd:13:14
      13 |       return x
         |              ^"
    `);
    expect(layer("for m in 2 { x += x }")).toMatchInlineSnapshot(`
      "error[PHD0212]: Layer loops do not nest
        model.phd:13:11
      13 |       for m in 2 { x += x }
         |           ^
        model.phd:11:9
      11 |     for l in layers within "layers.{l}" {
         |         - this is the other one
      Hint: Kinds of layers are told apart with \`if\` on the index."
    `);
    expect(layer("let y = repeat(x)")).toMatchInlineSnapshot(`
      "error[PHD0212]: \`repeat\` cannot stand inside the layer loop
        model.phd:13:15
      13 |       let y = repeat(x)
         |               ^^^^^^^^^
      Hint: Repeat the embeddings, before the loop."
    `);
    expect(layer("let y = attention(q, q, q)")).toMatchInlineSnapshot(`
      "error[PHD0212]: A layer attends once
        model.phd:14:25
      14 |       x += linear(merge(attention(rope(q), rope(q), q)), weight "o" [dim, heads * head_dim])
         |                         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
        model.phd:13:15
      13 |       let y = attention(q, q, q)
         |               ------------------ the first attention
      Hint: Each layer has one key and value cache. Write two layers, or combine the queries into more heads."
    `);
    expect(
      reportsOf(modelText({ predict: `predict copy K: linear(x, weight "head" [vocab, dim])\n    let y = x` })),
    ).toMatchInlineSnapshot(`
      "error[PHD0212]: Nothing runs after \`predict\`
        model.phd:17:5
      17 |     let y = x
         |     ^^^^^^^^^
        model.phd:16:5
      16 |     predict copy K: linear(x, weight "head" [vocab, dim])
         |     ----------------------------------------------------- the block ends here"
    `);
  });

  it("let variables keep their shape", () => {
    expect(layer("x = q")).toMatchInlineSnapshot(`
      "error[PHD0213]: \`x\` is a tensor [tokens, dim] and cannot become a tensor [tokens, heads, head_dim]
        model.phd:13:11
      13 |       x = q
         |           ^
        model.phd:10:9
      10 |     var x = repeat(embed(ids, weight "embed" [vocab, dim]))
         |         - declared here as a tensor [tokens, dim]
      Hint: Name the new value with \`let\`."
    `);
  });

  it("find one tensor with two shapes", () => {
    expect(layer('let a = weight "a" [dim]\n      let b = weight "a" [dim, 2]')).toMatchInlineSnapshot(`
      "error[PHD0214]: The tensor \`layers.{l}.a.weight\` is declared both [dim] and [dim, 2]
        model.phd:14:15
      14 |       let b = weight "a" [dim, 2]
         |               ^^^^^^^^^^^^^^^^^^^
        model.phd:13:15
      13 |       let a = weight "a" [dim]
         |               ---------------- declared here"
    `);
  });

  it("show a mistake in a function with the call that led to it", () => {
    const above = 'fn widen(x: [rows, dim], ffn: int) -> [rows, ffn] = linear(x, weight "up" [dim, ffn])';
    expect(reportsOf(modelText({ above, layer: "let y = widen(x, 48)" }))).toMatchInlineSnapshot(`
      "error[PHD0203]: \`linear\` needs an input as wide as its weight: expected [tokens, 48], and found [tokens, dim]
        model.phd:2:60
       2 | fn widen(x: [rows, dim], ffn: int) -> [rows, ffn] = linear(x, weight "up" [dim, ffn])
         |                                                            ^ this is [tokens, dim]
         |                                                               ---------------------- while this is [dim, 48]
        model.phd:13:15
      13 |       let y = widen(x, 48)
         |               ------------ in this call of \`widen\`"
    `);
  });

  it("check the arguments of functions against their declared types", () => {
    const above = "fn gate(x: [rows, dim], w: [dim], eps: real) -> [rows, dim] = rms_norm(x, w, eps)";
    expect(
      reportsOf(modelText({ above, layer: 'let y = gate(x, weight "n" [head_dim], 0.1)' })),
    ).toMatchInlineSnapshot(`
      "error[PHD0203]: The argument \`w\` of \`gate\`: expected [dim], and found [head_dim]
        model.phd:13:23
      13 |       let y = gate(x, weight "n" [head_dim], 0.1)
         |                       ^^^^^^^^^^^^^^^^^^^^^ this is [head_dim]
         |               ----------------------------------- in this call of \`gate\`
        model.phd:2:28
       2 | fn gate(x: [rows, dim], w: [dim], eps: real) -> [rows, dim] = rms_norm(x, w, eps)
         |                            ----- declared as [dim]"
    `);
    expect(reportsOf(modelText({ above, layer: 'let y = gate(q, weight "n" [dim], 0.1)' }))).toMatchInlineSnapshot(`
      "error[PHD0206]: The argument \`x\` of \`gate\` must be \`[rows, dim]\`, and is a tensor [tokens, heads, head_dim]
        model.phd:13:20
      13 |       let y = gate(q, weight "n" [dim], 0.1)
         |                    ^
         |               ------------------------------ in this call of \`gate\`
        model.phd:2:12
       2 | fn gate(x: [rows, dim], w: [dim], eps: real) -> [rows, dim] = rms_norm(x, w, eps)
         |            ----------- declared here"
    `);
    expect(reportsOf(modelText({ above, layer: 'let y = gate(x, weight "n" [dim], "a")' }))).toMatchInlineSnapshot(`
      "error[PHD0201]: This must be a real number, and is a string
        model.phd:13:41
      13 |       let y = gate(x, weight "n" [dim], "a")
         |                                         ^^^
         |               ------------------------------ in this call of \`gate\`
        model.phd:2:40
       2 | fn gate(x: [rows, dim], w: [dim], eps: real) -> [rows, dim] = rms_norm(x, w, eps)
         |                                        ---- declared here"
    `);
  });
});

describe("relation errors that the checker finds", () => {
  const attend = (text: string) => reportsOf(modelText({ attend: text }));

  it("say what to write instead of a function of coordinates, a divisor below zero or a number beyond all bounds", () => {
    expect(attend("k.pos <= q.pos and abs(q.pos - k.pos) <= 3")).toMatchInlineSnapshot(`
      "error[PHD0223]: \`abs(q.pos - k.pos)\` applies \`abs\` to \`q.pos - k.pos\`, which depends on tokens
        model.phd:6:41
      6 |   attend q -> k when k.pos <= q.pos and abs(q.pos - k.pos) <= 3
        |                                         ^^^^^^^^^^^^^^^^^^
        |                                             ------------- depends on tokens
      Hint: \`abs(a) <= c\` is \`a <= c and -a <= c\`."
    `);
    expect(attend("k.pos <= min(q.pos, 7)")).toMatchInlineSnapshot(`
      "error[PHD0223]: \`min(q.pos, 7)\` applies \`min\` to \`q.pos\`, which depends on tokens
        model.phd:6:31
      6 |   attend q -> k when k.pos <= min(q.pos, 7)
        |                               ^^^^^^^^^^^^^
        |                                   ----- depends on tokens
      Hint: \`min(a, b) <= c\` is \`a <= c or b <= c\`; \`min(a, b) >= c\` is \`a >= c and b >= c\`."
    `);
    expect(attend("k.pos <= q.pos and (q.pos - k.pos) mod -3 == 0")).toMatchInlineSnapshot(`
      "error[PHD0307]: \`mod\` needs a positive divisor, and this is -3
        model.phd:6:61
      6 |   attend q -> k when k.pos <= q.pos and (q.pos - k.pos) mod -3 == 0
        |                                                             ^^
      Hint: Remainders are never negative: \`x mod 3\` says the same of every x."
    `);
    expect(attend("k.pos <= q.pos and k.pos * 2000000000 <= 3")).toMatchInlineSnapshot(`
      "error[PHD0306]: A number in \`k.pos * 2000000000\` must be from -1073741824 to 1073741824, and not 2000000000
        model.phd:6:41
      6 |   attend q -> k when k.pos <= q.pos and k.pos * 2000000000 <= 3
        |                                         ^^^^^^^^^^^^^^^^^^
        |                      ------------------------------------------
      Hint: No sequence is as long: leave out a bound that nothing reaches, and make factors smaller on both sides."
    `);
  });

  it("refuse products of coordinates, and say what to write", () => {
    expect(attend("q.pos * q.copy - k.pos * k.copy <= 16")).toMatchInlineSnapshot(`
      "error[PHD0215]: \`q.pos * q.copy\` multiplies two numbers that depend on tokens
        model.phd:6:22
      6 |   attend q -> k when q.pos * q.copy - k.pos * k.copy <= 16
        |                      ^^^^^^^^^^^^^^
        |                      ----- depends on a token
        |                              ------ and so does this
      Hint: Multiply by an integer or a parameter. The place in stream order, for instance, is \`t.pos * K + t.copy - 1\`.

      error[PHD0215]: \`k.pos * k.copy\` multiplies two numbers that depend on tokens
        model.phd:6:39
      6 |   attend q -> k when q.pos * q.copy - k.pos * k.copy <= 16
        |                                       ^^^^^^^^^^^^^^
        |                                       ----- depends on a token
        |                                               ------ and so does this
      Hint: Multiply by an integer or a parameter. The place in stream order, for instance, is \`t.pos * K + t.copy - 1\`."
    `);
  });

  it("refuse to divide by a coordinate", () => {
    expect(attend("q.pos div q.copy == k.pos")).toMatchInlineSnapshot(`
      "error[PHD0216]: \`div\` divides by \`q.copy\`, which depends on a token
        model.phd:6:32
      6 |   attend q -> k when q.pos div q.copy == k.pos
        |                                ^^^^^^
      Hint: Divide by an integer or a parameter, as in \`q.pos div C\`."
    `);
  });

  it("take integers only", () => {
    expect(attend("q.pos - k.pos <= 1.5")).toMatchInlineSnapshot(`
      "error[PHD0219]: \`<=\` mixes a token's coordinate with a real number
        model.phd:6:22
      6 |   attend q -> k when q.pos - k.pos <= 1.5
        |                      ^^^^^^^^^^^^^^^^^^^^
      Hint: Relations take integers and integer parameters."
    `);
    expect(attend("q.pos / 2 == k.pos")).toMatchInlineSnapshot(`
      "error[PHD0219]: \`/\` mixes a token's coordinate with an integer
        model.phd:6:22
      6 |   attend q -> k when q.pos / 2 == k.pos
        |                      ^^^^^^^^^
      Hint: Write \`div\`, which rounds down."
    `);
    expect(attend("q.pos - k.pos")).toMatchInlineSnapshot(`
      "error[PHD0201]: This must be a condition on tokens, and is an integer that depends on tokens
        model.phd:6:22
      6 |   attend q -> k when q.pos - k.pos
        |                      ^^^^^^^^^^^^^"
    `);
  });

  it("refuse rotations that mix position and copy", () => {
    expect(
      reportsOf(modelText({}).replace("rotate t by t.pos", "rotate t by (t.pos * 2 + t.copy) div 3")),
    ).toMatchInlineSnapshot(`
      "error[PHD0217]: The index of a rotation applies \`div\` to position and copy together
        model.phd:7:15
      7 |   rotate t by (t.pos * 2 + t.copy) div 3
        |               ^^^^^^^^^^^^^^^^^^^^^^^^^^
      Hint: Write a sum of a part in \`t.pos\` and a part in \`t.copy\`, such as \`t.pos * K + t.copy - 1\`."
    `);
  });

  it("stop when rules grow without bound", () => {
    const doubling = Array.from({ length: 40 }, (_, n) => `rule r${n + 1}(q, k) = r${n}(q, k) or r${n}(q, k)`);
    const above = ["rule r0(q, k) = k.pos < q.pos", ...doubling].join("\n");
    expect(reportsOf(modelText({ above, attend: "r40(q, k)" }))).toMatchInlineSnapshot(`
      "error[PHD0218]: The model expands to more than 200000 parts
        model.phd:4:32
      4 | rule r2(q, k) = r1(q, k) or r1(q, k)
        |                                ^
      Hint: Simplify the definitions, so that they are not expanded over and over."
    `);
    expect(reportsOf(modelText({ above, attend: "r12(q, k)" }))).toMatchInlineSnapshot(`
      "error[PHD0218]: This relation expands to more than 2000 parts
        model.phd:46:22
      46 |   attend q -> k when r12(q, k)
         |                      ^^^^^^^^^
      Hint: Simplify the definitions, so that they are not expanded over and over."
    `);
  });
});
